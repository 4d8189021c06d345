"""Parts that a model is known not to take are the caller's mistake, told at their place."""

import pytest

from retinue.errors import RequestError
from retinue.route import Deployment, Route
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part, TextPart
from retinue.run.models.media import check_parts
from retinue.testing import route

# In the price list: no vision, vision, and nothing said of it.
BLIND = "databricks/databricks-claude-fable-5"
SEEING = "anthropic/claude-sonnet-4-5"
UNSAID = "databricks/my-endpoint"

IMAGE = ImagePart("data:image/png;base64,AAAA")


def saying(*parts: Part) -> list[Message]:
    return [
        Message("user", "hello"),
        Message("assistant", "hello"),
        Message("user", "see", parts=(TextPart("see"), *parts)),
    ]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (IMAGE, "images"),
        (FilePart("data:image/png;base64,AAAA", "x.png"), "images"),
    ],
)
def test_a_part_that_the_model_does_not_take_is_refused(part: Part, kind: str) -> None:
    with pytest.raises(RequestError, match=f"'{BLIND}' does not take {kind}") as caught:
        check_parts(saying(part), route(BLIND))
    assert caught.value.param == "messages[2].content[1]"
    assert caught.value.status == 400


def test_sound_for_a_model_that_only_reads_is_refused() -> None:
    with pytest.raises(RequestError, match="does not take audio"):
        check_parts(saying(AudioPart("AAAA", "wav")), route("openai/gpt-5"))


@pytest.mark.parametrize("model", [SEEING, UNSAID])
def test_what_is_taken_or_unknown_is_passed_on(model: str) -> None:
    check_parts(saying(IMAGE, FilePart("data:application/pdf;base64,AAAA")), route(model))


def test_files_of_other_kinds_and_text_are_passed_on() -> None:
    check_parts(saying(FilePart("data:text/csv;base64,AAAA")), route(BLIND))
    check_parts([Message("user", "hello")], route(BLIND))


def test_any_deployment_of_the_route_counts_and_no_fallback() -> None:
    both = Route(deployments=(Deployment(model=SEEING), Deployment(model=BLIND)))
    with pytest.raises(RequestError):
        check_parts(saying(IMAGE), both)
    check_parts(saying(IMAGE), route(SEEING, fallbacks=(route(BLIND),)))
