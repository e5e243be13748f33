"""The models: defaults as documented, ready-made values, secrets out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from file_watcher.settings import FileWatchSettings, RabbitMQSettings, Settings

SECRET = "Geh3im"


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert settings.roots == (Path("/data/music"),)
    assert (settings.instance_id, settings.max_concurrent_files, settings.http_addr) == (
        None,
        100,
        ("127.0.0.1", 8085),
    )
    assert settings.rabbitmq.shown() == "amqp://guest:***@localhost:5672/%2F"
    assert (settings.rabbitmq.exchange, settings.rabbitmq.declare) == ("file_events", "active")
    watch = settings.watch
    assert (watch.debounce_time, watch.max_wait, watch.move_window, watch.idle_timeout) == (1, 30, 2, None)
    assert (watch.scan_workers, watch.buffer_size, watch.batch_size, watch.nice) == (4, 1024, 256, 0)
    assert (watch.rescan_interval, watch.poll_interval, watch.tag_timeout) == (3_600, 30, 10)
    assert (watch.loss_guard, watch.retention) == ((0.5, 100), (7 * 86_400, 1_000_000))
    assert (watch.tag_memory_limit, watch.outbox_limit) == (512_000_000, 1_000_000)
    assert len(watch.patterns) == 15


def test_every_default_is_accepted_when_it_is_given() -> None:
    for model in (Settings(), RabbitMQSettings(), FileWatchSettings()):
        given = {name: getattr(model, name) for name in type(model).model_fields}
        assert type(model)(**given) == model


def test_values_may_be_given_as_text() -> None:
    watch = FileWatchSettings(debounce_time="500ms", patterns="*.a,*.b", loss_guard="off", nice="5")  # type: ignore[arg-type]
    assert (watch.debounce_time, watch.patterns, watch.loss_guard, watch.nice) == (
        0.5,
        ("*.a", "*.b"),
        None,
        5,
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().log_level = "DEBUG"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        FileWatchSettings(debounce=1)  # type: ignore[call-arg]


def test_secrets_are_in_no_repr_and_no_validation_error() -> None:
    url = SecretStr(f"amqp://u:{SECRET}@h")
    settings = Settings(
        rabbitmq=RabbitMQSettings(url=url, password=SecretStr(SECRET)),
        database_url=SecretStr(f"postgresql://u:{SECRET}@h/db"),
    )
    shown = (repr(settings), str(settings), settings.model_dump_json(), settings.rabbitmq.shown())
    with pytest.raises(ValidationError) as refused:
        RabbitMQSettings(url=f"http://u:{SECRET}@h", password=[SECRET])  # type: ignore[arg-type]
    assert SECRET not in "".join((*shown, str(refused.value), settings.shown_database_url(Path("/s"))))


def test_the_connection_url_is_made_of_parts_with_their_special_characters() -> None:
    broker = RabbitMQSettings(host="::1", user="a:b", password=SecretStr("p@ss/w#rd"), vhost="/media")
    assert broker.connection_url().get_secret_value() == "amqp://a%3Ab:p%40ss%2Fw%23rd@[::1]:5672/%2Fmedia"
    assert "p%40ss" not in repr(broker.connection_url())


def test_a_certificate_authority_means_tls_on_its_own_port() -> None:
    assert RabbitMQSettings(ca_file=Path("/ca.pem")).shown() == "amqps://guest:***@localhost:5671/%2F"
    assert (
        RabbitMQSettings(ca_file=Path("/ca.pem"), port=5000).shown() == "amqps://guest:***@localhost:5000/%2F"
    )


def test_a_url_wins_over_its_parts() -> None:
    broker = RabbitMQSettings(url=SecretStr("amqps://me:pw@one/v"), host="two", user="other", port=1)
    assert broker.connection_url().get_secret_value() == "amqps://me:pw@one:5671/v"


def test_each_instance_that_is_named_has_a_catalog_of_its_own() -> None:
    folder = Path("/state")
    assert Settings().catalog_url(folder) == "sqlite:////state/catalog.sqlite3"
    named = Settings(instance_id="nas-1")
    assert named.catalog_file(folder) == folder / "catalog-nas-1.sqlite3"
    assert named.shown_database_url(folder) == "sqlite:////state/catalog-nas-1.sqlite3"


def test_a_database_server_is_used_as_it_is_named() -> None:
    settings = Settings(database_url=SecretStr("postgres://u:pw@h/db?password=x"))
    assert settings.catalog_url(Path("/state")) == "postgresql+psycopg://u:pw@h/db?password=x"
    assert settings.catalog_file(Path("/state")) is None
    assert settings.shown_database_url(Path("/state")) == "postgresql+psycopg://u:***@h/db?***"
