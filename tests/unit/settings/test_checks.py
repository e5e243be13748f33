"""What is wrong with folders and files although their settings read well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from file_watcher.settings import FileWatchSettings, RabbitMQSettings, Settings, check_roots
from file_watcher.settings.checks import check_broker, check_state

NOBODY = 65_534


@contextmanager
def ordinary_user(*folders: Path) -> Iterator[None]:
    """Be a user whom the permission bits stop, with the folders' parents open to them."""
    if os.geteuid() != 0:
        yield
        return
    for folder in folders:
        for parent in [*folder.parents][:-2]:
            parent.chmod(parent.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def watching(*roots: Path, **watch: object) -> Settings:
    return Settings(data_dir=roots, watch=FileWatchSettings(**watch))  # type: ignore[arg-type]


def test_folders_side_by_side_are_fine_even_where_one_name_begins_with_the_other(tmp_path: Path) -> None:
    for name in ("lib", "lib2"):
        (tmp_path / name).mkdir()
    assert check_roots(watching(tmp_path / "lib", tmp_path / "lib2")) == []


def test_a_missing_root_is_fine(tmp_path: Path) -> None:
    assert check_roots(watching(tmp_path / "later")) == []


def test_a_root_that_is_a_file_is_a_problem_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "song.mp3"
    file.touch()
    assert check_roots(watching(file)) == [f"DATA_DIR='{file}' is not a folder; name a folder"]


def test_a_root_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    (problem,) = check_roots(watching(tmp_path / "song.mp3" / "x"))
    assert "Not a directory" in problem


def test_a_root_that_is_a_loop_of_links_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (problem,) = check_roots(watching(tmp_path / "loop"))
    assert "symbolic links" in problem


@pytest.mark.parametrize(
    ("mode", "rights"), [(0o300, "read (r)"), (0o400, "enter (x)"), (0o000, "read (r) and enter (x)")]
)
def test_a_root_that_may_not_be_listed_says_which_right_is_missing(
    tmp_path: Path, mode: int, rights: str
) -> None:
    root = tmp_path / "music"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    root.chmod(mode)
    with ordinary_user(root):
        (problem,) = check_roots(watching(root))
    assert problem.endswith(f"this user needs the right to {rights} it")


def test_a_root_below_a_closed_folder_says_that_the_way_is_closed(tmp_path: Path) -> None:
    root = tmp_path / "closed" / "music"
    root.mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    with ordinary_user(tmp_path / "closed"):
        (problem,) = check_roots(watching(root))
    (tmp_path / "closed").chmod(0o700)
    assert "the folders above it" in problem


@pytest.mark.parametrize(
    ("first", "second"), [("lib", "lib/sub"), ("lib/sub", "lib"), ("lib", "lib/../lib"), ("link", "lib")]
)
def test_roots_that_overlap_are_a_problem_by_their_real_paths(
    tmp_path: Path, first: str, second: str
) -> None:
    (tmp_path / "lib" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("lib")
    (problem,) = check_roots(watching(tmp_path / first, tmp_path / second))
    assert problem.startswith("DATA_DIR: ")
    assert str(tmp_path / first) in problem
    assert problem.endswith("name one of them only")


def test_roots_of_both_settings_must_not_overlap_even_while_missing(tmp_path: Path) -> None:
    (problem,) = check_roots(watching(tmp_path / "a", directories=[str(tmp_path / "a" / "b")]))
    assert problem.startswith("DATA_DIR and FILE_WATCH_DIRECTORIES: ")


def test_a_root_must_lie_in_an_allowed_one(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    assert check_roots(watching(allowed, allowed_roots=(allowed,))) == []
    assert check_roots(watching(allowed / "music", allowed_roots=(allowed,))) == []
    (problem,) = check_roots(watching(tmp_path / "allowed2", allowed_roots=(allowed,)))
    assert "FILE_WATCH_ALLOWED_ROOTS" in problem


def test_a_link_out_of_the_allowed_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "out").symlink_to(tmp_path)
    (problem,) = check_roots(watching(tmp_path / "allowed" / "out", allowed_roots=(tmp_path / "allowed",)))
    assert "outside" in problem


def test_a_name_that_is_not_utf8_can_be_told(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff"))
    file.touch()
    (problem,) = check_roots(watching(file))
    assert "m\N{REPLACEMENT CHARACTER}" in problem


def test_a_catalog_in_a_watched_folder_is_refused(tmp_path: Path) -> None:
    (problem,) = check_state(watching(tmp_path), tmp_path / "state")
    assert "DATABASE_URL" in problem
    assert "DATA_DIR" in problem
    assert check_state(watching(tmp_path / "music"), tmp_path / "state") == []


def test_a_named_catalog_in_a_watched_folder_is_refused_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "state").symlink_to("music")
    url = SecretStr(f"sqlite:///{tmp_path}/state/x.db")
    settings = Settings(data_dir=(tmp_path / "music",), database_url=url)
    assert len(check_state(settings, Path("/elsewhere"))) == 1


def test_a_database_server_lies_in_no_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=(tmp_path,), database_url=SecretStr("postgresql://h/db"))
    assert check_state(settings, tmp_path / "state") == []


def test_a_certificate_needs_its_key_and_a_key_its_certificate(tmp_path: Path) -> None:
    pem = tmp_path / "x.pem"
    pem.touch()
    (without_key,) = check_broker(Settings(rabbitmq=RabbitMQSettings(cert_file=pem)))
    (without_certificate,) = check_broker(Settings(rabbitmq=RabbitMQSettings(key_file=pem)))
    assert without_key.startswith("RABBITMQ_CERT_FILE needs RABBITMQ_KEY_FILE")
    assert without_certificate.startswith("RABBITMQ_KEY_FILE needs RABBITMQ_CERT_FILE")
    assert check_broker(Settings(rabbitmq=RabbitMQSettings(cert_file=pem, key_file=pem))) == []


def test_a_certificate_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check_broker(Settings(rabbitmq=RabbitMQSettings(ca_file=tmp_path / "ca.pem")))
    assert problem.startswith(f"RABBITMQ_CA_FILE='{tmp_path}/ca.pem' cannot be used: No such file")


def test_a_url_without_tls_beside_certificates_is_a_problem_that_hides_the_password(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    broker = RabbitMQSettings(url=SecretStr("amqp://u:Geh3im@h"), ca_file=tmp_path / "ca.pem")
    (problem,) = check_broker(Settings(rabbitmq=broker))
    assert "amqps://" in problem
    assert "Geh3im" not in problem
