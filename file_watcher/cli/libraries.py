"""`library …`: which folders are watched, and by which settings of their own. Writes into the database only.

A service that runs notices by itself, within two seconds; none needs to run. Everything is done on the caller's
thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.asking import AsJson, print_json
from file_watcher.cli.endings import FINE, complain
from file_watcher.cli.figures import counted
from file_watcher.cli.helping import PlainCommand, PlainGroup
from file_watcher.cli.library_catalog import refuse_foreign_origin, steered, tell
from file_watcher.cli.library_choice import Choice
from file_watcher.cli.library_pages import documents, show_page, show_table
from file_watcher.cli.library_removing import remove
from file_watcher.cli.options import CATALOG, Given, with_settings
from file_watcher.errors import UsageError

if TYPE_CHECKING:
    from file_watcher.catalog.steering import LibraryRow

_DEFAULT_TYPE: Final = "production"

_Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of its own, such as `debounce_time=5s`; may be given again.",
        show_default=False,
    ),
]

library = typer.Typer(
    cls=PlainGroup,
    help="The libraries: add, watch and unwatch them, and give them settings of their own.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def add(
    given: Given,
    path: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder; it need not be there yet.")],
    *,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Else it is called as its folder.")] = None,
    kind: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="A word for consumers, such as production or staging."),
    ] = _DEFAULT_TYPE,
    rules: _Rules = None,
    unwatched: Annotated[bool, typer.Option("--unwatched", help="Add it, but do not watch it yet.")] = False,
    as_json: AsJson = False,
) -> int:
    """Add a folder as a library, and watch it."""
    from file_watcher.catalog.library_admin import NewLibrary
    from file_watcher.cli import library_checks as checks

    root = checks.folder_of(path)
    wanted = {key: value for key, value in checks.rules_in(rules or ()).items() if value is not None}
    with steered(given) as desk:
        text = checks.text_of(root)
        if same := [row for row in desk.rows if row.path == text]:
            raise UsageError(
                f"{text} is library {same[0].name!r} (#{same[0].id}) already; watch it with: library watch "
                f"'#{same[0].id}'"
            )
        if name is not None:
            checks.check_name(name, desk.rows)
        if not unwatched:
            allowed = desk.settings.watch.allowed_roots
            checks.check_place(root, desk.watched_besides(None), allowed, desk.database.path)
        called = name or checks.free_name(root, desk.rows)
        number = desk.admin.add(NewLibrary(called, text, kind, not unwatched, wanted))
    if not checks.is_there(root):
        complain(f"{text} is not there yet: it is waited for")
    done = "is added; watch it with `library watch`" if unwatched else "is added and watched"
    tell(called, number, done, as_json=as_json)
    return FINE


def show_all(given: Given, *, as_json: AsJson = False) -> int:
    """Show all libraries."""
    with steered(given) as desk:
        found = documents(desk.database, desk.rows)
    if as_json:
        print_json({"libraries": found})
    else:
        show_table(found)
    return FINE


def show(given: Given, chosen: Choice, *, as_json: AsJson = False) -> int:
    """Show one library with its rules."""
    with steered(given) as desk:
        (found,) = documents(desk.database, [desk.choose(chosen)])
    if as_json:
        print_json(found)
    else:
        show_page(found)
    return FINE


def watch(given: Given, chosen: Choice, *, as_json: AsJson = False) -> int:
    """Watch a library; what changed while it was not watched is found by a scan."""
    from file_watcher.catalog.bookkeeping import root_of
    from file_watcher.cli import library_checks as checks

    with steered(given) as desk:
        row = desk.choose(chosen)
        root = root_of(row.path)
        if not root.startswith(b"/"):
            raise UsageError(
                f"library {row.name!r} has the path {row.path!r}, which is not absolute; mend its row"
            )
        others = desk.watched_besides(row.id)
        checks.check_place(root, others, desk.settings.watch.allowed_roots, desk.database.path)
        desk.admin.set_watched(row.id, is_watched=True)
    if not checks.is_there(root):
        complain(f"{row.path} is not there: it is waited for")
    tell(row.name, row.id, "was watched already" if row.is_watched else "is watched", as_json=as_json)
    return FINE


def unwatch(given: Given, chosen: Choice, *, as_json: AsJson = False) -> int:
    """Watch a library no more. Nothing is told as deleted, and its files stay in the catalog."""
    with steered(given) as desk:
        row = desk.choose(chosen)
        refuse_foreign_origin(row)
        desk.admin.set_watched(row.id, is_watched=False)
    tell(
        row.name, row.id, "is not watched any more" if row.is_watched else "was not watched", as_json=as_json
    )
    return FINE


def set_rules(
    given: Given,
    chosen: Choice,
    pairs: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="Settings of its own; `KEY=` takes one away."),
    ],
    *,
    as_json: AsJson = False,
) -> int:
    """Give a library settings of its own, which hold over all others.

    Any setting `file_watch.…` that concerns a library, without that prefix; and `instance` (the only one that may
    watch it) and `jobs` (JSON).
    """
    from file_watcher.cli.library_checks import rules_in

    changes = rules_in(pairs)
    with steered(given) as desk:
        row = desk.choose(chosen)
        desk.admin.set_rules(row.id, changes)
    return _tell_rules(row, changes, as_json=as_json)


def unset(
    given: Given,
    chosen: Choice,
    keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="Names of its own settings.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Take settings of its own away from a library."""
    from file_watcher.cli.library_checks import unset_rules

    with steered(given) as desk:
        row = desk.choose(chosen)
        changes = unset_rules(keys, row.rules, row.name)
        desk.admin.set_rules(row.id, changes)
    return _tell_rules(row, changes, as_json=as_json)


def _tell_rules(row: LibraryRow, changes: dict[str, str | None], *, as_json: bool) -> int:
    """How many rules the library has after the changes."""
    amount = len([value for value in ({**row.rules} | changes).values() if value is not None])
    tell(row.name, row.id, f"has {counted(amount, 'rule')} of its own now", as_json=as_json)
    return FINE


library.command("add", cls=PlainCommand)(with_settings(CATALOG)(add))
library.command("list", cls=PlainCommand)(with_settings(CATALOG)(show_all))
library.command("show", cls=PlainCommand)(with_settings(CATALOG)(show))
library.command("watch", cls=PlainCommand)(with_settings(CATALOG)(watch))
library.command("unwatch", cls=PlainCommand)(with_settings(CATALOG)(unwatch))
library.command("set", cls=PlainCommand)(with_settings(CATALOG)(set_rules))
library.command("unset", cls=PlainCommand)(with_settings(CATALOG)(unset))
library.command("remove", cls=PlainCommand)(with_settings(CATALOG)(remove))
