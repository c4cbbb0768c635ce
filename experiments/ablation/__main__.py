"""Change one option of the training at a time, or the whole network step, on Pointing'04, with three seeds.

People 1-12 train, of whom two drawn by the seed validate, and people 13-15 test. Nothing is searched: each variant is
trained with the learning rate of the base. The table shows the effect of a change on this recipe, not the best result
of each variant.
"""

from pathlib import Path

from deepgllim.nn import load_recipe
from experiments import protocol
from experiments.ablation.variants import VARIANTS, summary
from experiments.protocol import Job

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
SHARE = 0.2
"""Share of the training pictures of each person; a training then takes 40 seconds on one core."""


def main() -> None:
    """Train and evaluate all variants, then write the tables."""
    arguments = protocol.options(__doc__ or "", HERE)
    base = load_recipe(str(HERE / "recipe.toml"))
    seeds, share = (SEEDS[:1], 1.0) if arguments.quick else (SEEDS, SHARE)
    names = list(VARIANTS)[:2] if arguments.quick else list(VARIANTS)
    recipes = {name: base.override(VARIANTS[name]) for name in names}
    jobs = [Job(name, recipes[name], base.schedule.learning_rate, seed, share) for seed in seeds for name in names]
    runs, results = protocol.train_and_judge(jobs, arguments)
    print(protocol.as_markdown(summary(results, runs)))


if __name__ == "__main__":
    main()
