"""Which of the choices in the training matter: one option changed at a time, Pointing'04, three seeds.

People 1-12 train, two of them drawn by the seed validate, 13-15 test. Nothing is chosen: every variant is judged at the
base's learning rate, so the table says what a change does to this recipe, not what each could reach.
"""

from pathlib import Path

from deepgllim.nn.config import load_recipe
from experiments import protocol
from experiments.ablation.variants import VARIANTS, summary
from experiments.protocol import Job

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
SHARE = 0.2
"""Of the training pictures, each person's alike: what makes a training 40 seconds of one core."""


def main() -> None:
    """Train all, judge all, write the tables."""
    arguments = protocol.options(__doc__ or "", HERE)
    base = load_recipe(str(HERE / "recipe.toml"))
    seeds, share = (SEEDS[:1], 1.0) if arguments.quick else (SEEDS, SHARE)
    names = list(VARIANTS)[:2] if arguments.quick else list(VARIANTS)
    recipes = {name: base.override(VARIANTS[name]) for name in names}
    jobs = [Job(name, recipes[name], base.schedule.learning_rate, seed, share) for seed in seeds for name in names]
    runs = protocol.run_all(jobs, protocol.run_job, arguments.output / "runs.csv", arguments)
    results = protocol.run_all(jobs, protocol.judge, arguments.output / "results.csv", arguments)
    print(protocol.as_markdown(summary(results, runs)))


if __name__ == "__main__":
    main()
