"""Make table 1 of the paper: regressions on gradients, on frozen and on fine-tuned networks; folds of three people.

All methods use the same crops, folds and validation people. Each one chooses among three settings by the validation
error of the first fold and seed; test people are used after that. An interrupted run continues where it stopped.
"""

from functools import partial
from pathlib import Path

import torch

from experiments import protocol
from experiments.table1 import jobs
from experiments.table1.activations import prepare_trunk
from experiments.table1.features import prepare, prepare_crops
from experiments.table1.jobs import Job
from experiments.table1.methods import rows_to_make
from experiments.table1.networks import base_recipe, trunk_recipe, vgg_recipe
from experiments.table1.options import SEEDS, add_options, folds, options_of
from experiments.table1.summary import missing_claims, summary, update_claims

HERE = Path(__file__).parent


def main() -> None:
    """Compute the features, search the settings, evaluate, and write the tables."""
    arguments = add_options(protocol.parser(__doc__ or "", HERE)).parse_args()
    options = options_of(arguments)
    methods = rows_to_make(options, arguments.methods)
    seeds = SEEDS[:1] if options.quick else tuple(arguments.seeds)
    numbers = range(1 if options.quick else len(folds(options)))
    torch.set_num_threads(arguments.jobs)
    prepare(options, {method.features for method in methods.values() if method.features})
    prepare_crops(options, base_recipe(options))
    if any(method.vgg and method.features is None for method in methods.values()):
        prepare_trunk(options, vgg_recipe(options, {}, {}, seeds[0]))
    if any(method.trunk for method in methods.values()):
        prepare_trunk(options, trunk_recipe(options, {}, seeds[0]))
    run = partial(protocol.run_tasks, processes=arguments.jobs, identify=jobs.identity)
    tables = arguments.output
    search = run(
        jobs.searches(methods, seeds[0], options.quick), partial(jobs.validate, options=options), tables / "search.csv"
    )
    best = jobs.chosen(methods, search)
    final = [Job(name, best[name], fold, seed) for seed in seeds for fold in numbers for name in methods]
    results = run(final, partial(jobs.judge, options=options), tables / "results.csv")
    claims = update_claims(options.work, final, tables / "claims.csv")
    print(protocol.as_markdown(summary(results, list(methods))))
    print(protocol.as_markdown(claims.round(3)), *missing_claims(claims, final), sep="\n")


if __name__ == "__main__":
    main()
