"""`ferrec fit`."""

import argparse

from ferrec.cli import common
from ferrec.cli.models import KINDS, add_training, kebab, make_model, model_folder
from ferrec.errors import ParameterError
from ferrec.io.files import csv_delimiter
from ferrec.rankers import RANKERS

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "fit",
        _run,
        "fit a model on a table of events and save it",
        """
        ferrec fit --model item-knn events.parquet -o model/
        ferrec fit --model item-knn --param k=50 --param measure=jaccard events.parquet -o model/
        ferrec fit --model popularity --param half_life=604800 --time ts clicks.csv -o model/
        ferrec fit --model item-knn-regressor --rating stars --duplicates last ratings/ -o model/
        ferrec fit --model hybrid --time ts --param ranker.epochs=5 events.parquet -o model/
        ferrec fit --model hybrid --retrievers item-knn,ease --ranker lightgbm --time ts log/ -o model/
        ferrec fit --model rp3-beta --event-type type --event-weight view=1 --event-weight buy=5 log/ -o model/
        ferrec fit --model content-knn --item-table items.csv --separator "genres=|" events.parquet -o model/
        """,
        extra=(
            "models and their parameters:\n" + "\n".join(map(_describe_model, KINDS)) + "\n\n"
            "The hybrid learns from the latest fifth of the events what to make of the proposals of its\n"
            "retrievers. Its rankers: " + ", ".join(map(kebab, RANKERS))
        ),
    )
    add_training(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the model goes")
    common.add_columns(parser)
    group = parser.add_argument_group("tables of attributes, whose ids stand in the columns named above")
    group.add_argument(
        "--item-table", metavar="FILE", help="what else is known about the items: Parquet or CSV"
    )
    group.add_argument("--user-table", metavar="FILE", help="the same of the users")
    common.add_repeated(
        group,
        "--separator",
        "COLUMN=SEPARATOR",
        "a column of the item table whose text is a list; may be repeated",
    )
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model, output = make_model(args), model_folder(args)
    clock = common.Clock()
    data = common.read_events(args.events, args)
    if args.item_table is not None:
        separators = dict(map(_parse_separator, args.separator))
        delimiter = csv_delimiter(args.item_table) or ","
        data = data.with_items(args.item_table, item=args.item, separators=separators, delimiter=delimiter)
    if args.user_table is not None:
        data = data.with_users(
            args.user_table, user=args.user, delimiter=csv_delimiter(args.user_table) or ","
        )
    clock.lap("read")
    model.fit(data, progress=common.wants_progress(args))
    clock.lap("fit")
    model.save(output)
    clock.lap("save")
    text = f"{data!r}\n{model!r} fitted and saved to {output}\n{clock}"
    return {
        "model": type(model).__name__,
        "params": model.get_params(deep=False),
        "path": str(output),
        "users": data.n_users,
        "items": data.n_items,
        "events": len(data),
        "pairs": data.nnz,
        "seconds": clock.seconds,
    }, text


def _parse_separator(text: str) -> tuple[str, str]:
    name, equals, separator = text.partition("=")
    if not (name and equals and separator):
        raise ParameterError("--separator", "expected COLUMN=SEPARATOR", text)
    return name, separator


def _describe_model(name: str) -> str:
    params = KINDS[name]().get_params()
    shown = " ".join(f"{key}={value}" for key, value in params.items() if key != "n_threads")
    return f"  {kebab(name):<20} {shown}".rstrip()
