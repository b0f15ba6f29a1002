"""A studio on a few drawings, served by this very process, and who asks it without a browser."""

import http.client
import json
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

from explgraph.labelling.session import LabelSession
from explgraph.photos.images import open_images
from explgraph.studio.app import Studio
from explgraph.studio.desk import Desk
from explgraph.studio.looking import Looks
from explgraph.studio.pictures import Pictures
from explgraph.studio.serving import serve

PARTS = ("head", "tail")
HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
PATIENCE = 20  # seconds, for what takes a moment


def make_labels(world, files, folder):
    """Make a labelling session of the world's photos, without an answer."""
    session = LabelSession.create(
        folder, world.graph, world.found, parts=PARTS, photos=str(files.photos)
    )
    session.close()
    return folder


def own_copy(labels, tmp_path):
    """A session's folder for one test alone."""
    return Path(shutil.copytree(labels, tmp_path / "labels"))


@contextmanager
def served(folder, photos, load=None, **options):
    """Serve a session; gives where, and the session."""
    with LabelSession.open(folder) as session:
        source = open_images(photos).named(session.images, "session")
        studio = Studio(
            Desk(session, source),
            Pictures(source, session.folder / "thumbnails"),
            Looks(session, source, load),
        )
        opened, places = threading.Event(), []

        def tell(place):
            places.append(place)
            opened.set()

        thread = threading.Thread(
            target=serve, args=(studio,), kwargs={"opened": tell, **options}, daemon=True
        )
        thread.start()
        assert opened.wait(PATIENCE)
        try:
            yield places[0], session
        finally:
            places[0].stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


class Caller:
    """Asks a server as no browser would: paths go out as they are."""

    def __init__(self, place, *, cookie=True):
        self.place = place
        self.headers = {"Host": f"127.0.0.1:{place.port}"}
        if cookie:
            self.headers["Cookie"] = f"{place.keys.cookie}={place.keys.token}"

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.place.port}"

    def ask(self, method, path, body=None, **headers):
        """Return the status, the headers by lower name, and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=PATIENCE)
        own = self.headers | {name.replace("_", "-"): text for name, text in headers.items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            own = {"Content-Type": "application/json", "Content-Length": str(len(data))} | own
        for name, text in own.items():
            connection.putheader(name, text)
        connection.endheaders(data)
        reply = connection.getresponse()
        said = {name.lower(): text for name, text in reply.getheaders()}
        status, content = reply.status, reply.read()
        connection.close()
        return status, said, content

    def get(self, path):
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path, body):
        """Post as the page does; returns the status and what was said."""
        status, _, said = self.ask("POST", path, body, Origin=self.origin)
        return status, json.loads(said)
