"""A look at the network behind the labels: its graph, and what it goes by in one photo."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct
from PIL import Image

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.json_text import decode_json
from explgraph.base.progress import stage
from explgraph.base.text import one_line
from explgraph.labelling.session import LabelSession
from explgraph.photos.images import ImageSource

from .door import REPORT_POLICY
from .jobs import Job, Jobs
from .replies import WRONG, RefusedError, Reply, json_reply, whole

if TYPE_CHECKING:
    from explgraph.explanations.attribution import Attribution
    from explgraph.explanations.questions import Question
    from explgraph.networks.backbone import Backbone

FIRST_METHODS = ("grad_cam", "integrated_gradients", "occlusion")
"""Those that are chosen on the page as it opens: of three kinds, and quick."""

REPORT = "report.html"
_NODES = 40  # that are offered as targets, the first of the ranking

_Number = Annotated[int, Meta(ge=0, le=2**53)]


class _Wish(Struct, forbid_unknown_fields=True):
    """What a page asks to be made: ``image`` is a photo's number."""

    kind: Literal["groups", "report", "nodes", "explain", "decision"]
    image: _Number = 0
    target: Annotated[str, Meta(max_length=300)] = ""
    methods: Annotated[list[str], Meta(max_length=40)] = []


class Looks:
    """Pictures and pages about the network; each is made as a job.

    Parameters
    ----------
    session
        Whose graph and matches they are of.
    source
        Its photos, in its order.
    load
        Gives the network that the graph was mined from; None: there is none, and what needs it is
        not offered. It is called once, when it is first needed.
    """

    def __init__(
        self, session: LabelSession, source: ImageSource, load: Callable[[], Backbone] | None
    ) -> None:
        self._session, self._source, self._load = session, source, load
        self._net: Backbone | None = None
        self._lock = Lock()
        self.jobs = Jobs()

    def offers(self) -> dict[str, Any]:
        """Return what there is to choose from."""
        from explgraph.explanations.answers import methods

        graph = self._session.graph
        nodes = [graph.node_id(i) for i in graph.ranking()[:_NODES].tolist()]
        return {
            "network": self._load is not None,
            "model": one_line(str(graph.header.get("model", "a network"))),
            "groups": graph.groups is not None and len(graph.groups) > 0,
            "layers": [
                {"name": one_line(layer.name), "filters": layer.channels} for layer in graph.layers
            ],
            "nodes": [
                {"id": node, "name": one_line(graph.names.get(i, ""))}
                for i, node in zip(graph.ranking()[:_NODES].tolist(), nodes, strict=True)
            ],
            "methods": [{"name": name, "first": name in FIRST_METHODS} for name in methods()],
        }

    def begin(self, body: bytes) -> Reply:
        """Begin what a page asks for, and return the job."""
        wish: _Wish = decode_json(body, "what to make", _Wish)
        image = whole(wish.image, len(self._session.images), "photo")
        if wish.kind in ("explain", "decision") and self._load is None:
            raise RefusedError(WRONG, "this needs the network: start the studio with --model")
        if wish.kind == "explain" and not wish.methods:
            raise RefusedError(WRONG, "choose at least one method")
        actions: dict[str, Callable[[], Reply]] = {
            "groups": self._groups,
            "report": self._report,
            "nodes": lambda: self._nodes(image),
            "explain": lambda: self._explain(image, wish.target, wish.methods),
            "decision": lambda: self._decision(image, wish.target),
        }
        is_of_all = wish.kind in ("groups", "report")
        kind = "explain" if wish.kind == "decision" else wish.kind  # are shown in one place
        job: Job = self.jobs.start(kind, actions[wish.kind], once=is_of_all)
        return json_reply(job.to_json())

    def _groups(self) -> Reply:
        from explgraph.galleries.groups import draw_groups

        return _png(draw_groups(self._session.graph, self._session.found, self._source))

    def _report(self) -> Reply:
        from explgraph.report.writing import write_report

        path = self._session.folder / REPORT
        if path.is_symlink() or not path.is_file():
            write_report(self._session.graph, self._session.found, self._source, path)
        policy = {"content-security-policy": REPORT_POLICY}
        return Reply(path.read_bytes(), "text/html; charset=utf-8", headers=policy)

    def _nodes(self, image: int) -> Reply:
        from explgraph.galleries.photo import draw_match

        graph, found = self._session.graph, self._session.found
        return _png(draw_match(graph, found, self._source, None, image))

    def _explain(self, image: int, target: str, names: list[str]) -> Reply:
        from explgraph.explanations.answers import check_options
        from explgraph.explanations.pictures.sheet import draw_explanations

        for name in names:
            check_options(name, {})
        photo = self._source.take([image])
        question = self._ask(photo, target)
        answers, refused = _answers(question, names)
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        require(len(answers) > 0, f"none of these methods is possible here. {reasons}")
        return _png(draw_explanations(answers, photo, None, refused=refused))

    def _ask(self, photo: ImageSource, target: str) -> Question:
        from explgraph.explanations.questions import ask

        graph, found = self._session.graph, self._session.found
        with stage("loading the network"):
            net = self._network()
        return ask(net, photo, target.strip() or None, graph=graph, found=found)

    def _decision(self, image: int, target: str) -> Reply:
        from explgraph.explanations.decision.decision import explain_decision
        from explgraph.explanations.pictures.decision import draw_decision

        photo = self._source.take([image])
        graph, found = self._session.graph, self._session.found
        with stage("loading the network"):
            net = self._network()
        made = explain_decision(graph, net, photo, target.strip() or None, found=found)
        return _png(draw_decision(made, photo))

    def _network(self) -> Backbone:
        if self._load is None:
            raise ExplGraphError("this needs the network: start the studio with --model")
        with self._lock:
            if self._net is None:
                self._net = self._load()
            return self._net


def _answers(question: Question, names: list[str]) -> tuple[list[Attribution], dict[str, str]]:
    """Ask each method; one that is not possible for this photo says why."""
    from explgraph.explanations.answers import answer

    answers: list[Attribution] = []
    refused: dict[str, str] = {}
    with stage("methods", len(names), "methods") as progress:
        for done, name in enumerate(names):
            progress.reach(done)
            try:
                answers.append(answer(question, name))
            except ExplGraphError as error:
                refused[name] = str(error)
    return answers, refused


def _png(picture: Image.Image) -> Reply:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return Reply(buffer.getvalue(), "image/png")
