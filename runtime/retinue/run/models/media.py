"""A conversation and a route → nothing, or a refusal of what its models are known not to take."""

from collections.abc import Callable, Mapping, Sequence

from retinue.errors import RequestError
from retinue.route import Route
from retinue.run.messages import AudioPart, FilePart, ImagePart, Message, Part
from retinue.run.models.catalogue import ModelFacts, facts

_Takes = Callable[[ModelFacts], bool | None]

_KINDS: Mapping[str, _Takes] = {
    "images": lambda known: known.images,
    "audio": lambda known: known.audio,
    "PDF files": lambda known: known.pdf,
}


def check_parts(conversation: Sequence[Message], route: Route) -> None:
    """Raises RequestError for the first part that a deployment of the route doesn't take.

    Only what the price list says counts: a model it doesn't know is asked. Fallbacks don't count.
    """
    for index, message in enumerate(conversation):
        for position, part in enumerate(message.parts):
            kind = _kind(part)
            if kind is None:
                continue
            for deployment in route.deployments:
                if _KINDS[kind](facts(deployment.model)) is False:
                    raise RequestError(
                        f"the model '{deployment.model}' does not take {kind}",
                        param=f"messages[{index}].content[{position}]",
                        code="unsupported_value",
                    )


def takes_pdf(route: Route) -> bool:
    """Whether no deployment of the route is known not to take PDF files."""
    return all(facts(deployment.model).pdf is not False for deployment in route.deployments)


def takes_images(route: Route) -> bool:
    """Whether all models of a route are known to take images: these come by themselves."""
    every = (d for one in (route, *route.fallbacks) for d in one.deployments)
    return all(facts(deployment.model).images is True for deployment in every)


def _kind(part: Part) -> str | None:
    """What a model must take for it; None for text, and for files of which nothing is known."""
    match part:
        case ImagePart():
            return "images"
        case AudioPart():
            return "audio"
        case FilePart(data=data):
            media = data[:100].lower()
            if media.startswith("data:application/pdf"):
                return "PDF files"
            return "images" if media.startswith("data:image/") else None
        case _:
            return None
