"""Options of a short training."""

TINY = [
    "--set=data.image_size=32",
    "--set=data.validation=0.25",
    "--set=network.projection=4",
    "--set=objective.n_components=1",
    "--set=schedule.rounds=2",
    "--set=schedule.epochs_per_round=1",
    "--set=schedule.batch_size=8",
]
