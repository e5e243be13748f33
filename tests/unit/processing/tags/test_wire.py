from __future__ import annotations

import mmap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags.hashes import Hashes
from file_watcher.processing.tags.identity import Identity
from file_watcher.processing.tags.wire import (
    PROGRESS_SIZE,
    AnswerKind,
    Progress,
    Request,
    encode_answer,
    encode_request,
    take_answers,
    take_requests,
    whole_content,
)

UNSIGNED = st.integers(0, 2**64 - 1)
SIGNED = st.integers(-(2**63), 2**63 - 1)
REQUESTS = st.lists(
    st.builds(
        Request,
        st.binary(max_size=50),
        st.builds(Identity, UNSIGNED, SIGNED, SIGNED, UNSIGNED, UNSIGNED),
        st.booleans(),
    )
)
CONTENTS = st.none() | st.dictionaries(
    st.text(max_size=5), st.text() | st.floats(allow_nan=False) | st.none()
)
ANSWERS = st.lists(
    st.tuples(st.sampled_from([kind for kind in AnswerKind if kind != AnswerKind.WHOLE]), CONTENTS)
)


@given(requests=REQUESTS, piece=st.integers(1, 40))
def test_requests_arrive_as_they_were_sent_however_the_pipe_cuts_them(
    requests: list[Request], piece: int
) -> None:
    data = b"".join(encode_request(each.path, each.identity, whole=each.whole) for each in requests)
    buffer, taken = bytearray(), []
    for start in range(0, len(data), piece):
        buffer += data[start : start + piece]
        taken += list(take_requests(buffer))
    assert taken == requests
    assert not buffer


@given(answers=ANSWERS, piece=st.integers(1, 40))
def test_answers_arrive_as_they_were_sent_however_the_pipe_cuts_them(
    answers: list[tuple[AnswerKind, object]], piece: int
) -> None:
    data = b"".join(encode_answer(kind, content) for kind, content in answers)
    buffer, taken = bytearray(), []
    for start in range(0, len(data), piece):
        buffer += data[start : start + piece]
        taken += take_answers(buffer)
    assert taken == answers
    assert not buffer


@given(
    metadata=CONTENTS,
    hashes=st.builds(
        Hashes, st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), SIGNED, st.just(0.5)
    ),
)
def test_metadata_and_hashes_of_a_whole_file_arrive_as_they_were_sent(
    metadata: object, hashes: Hashes
) -> None:
    data = encode_answer(AnswerKind.WHOLE, whole_content(metadata, hashes))
    ((kind, content),) = take_answers(bytearray(data))
    assert kind is AnswerKind.WHOLE
    assert content == (metadata, hashes)


def test_nonsense_instead_of_an_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="AnswerKind"):
        take_answers(bytearray(b"\x02\x00\x00\x00\xff{}"))
    with pytest.raises(ValueError, match="Expecting"):
        take_answers(bytearray(b"\x02\x00\x00\x00\x00{{"))


@pytest.mark.parametrize(
    "content",
    [
        None,
        5,
        [],
        [None, "00" * 32, "00" * 16, 1],
        [None, "00" * 31, "00" * 16, 1, 0.5],
        [None, "00" * 32, "00" * 15, 1, 0.5],
        [None, "no digits", "00" * 16, 1, 0.5],
        [None, None, "00" * 16, 1, 0.5],
        [None, "00" * 32, "00" * 16, None, 0.5],
        [None, "00" * 32, "00" * 16, float("inf"), 0.5],
    ],
)
def test_nonsense_instead_of_hashes_is_an_error(content: object) -> None:
    with pytest.raises(ValueError, match=r"hashes|hexadecimal|unpack"):
        take_answers(bytearray(encode_answer(AnswerKind.WHOLE, content)))


def test_the_shared_page_says_what_is_read_and_since_when() -> None:
    with mmap.mmap(-1, PROGRESS_SIZE) as page:
        progress = Progress(page)
        assert progress.now() == (0, 0.0)
        before = time.monotonic()
        progress.begin(7)
        number, since = progress.now()
        assert number == 7
        assert before <= since <= time.monotonic()
        progress.rest()
        assert progress.now() == (0, 0.0)
