"""The server of the painting page: what it renders, and what it refuses."""

import asyncio
import base64
import io
import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from support.toy_generators import CONCEPTS, SIZES, colors_segmenter, generator
from support.toy_paintings import drawn, painting
from support.toy_studios import LAYER, dissection, studio

from jaxdissect.commands.paint.server import MAX_BODY, create_app
from jaxdissect.commands.paint.studio import Studio
from jaxdissect.generators import Generator, concept_areas
from jaxdissect.painting import as_bytes, from_json, replay, to_json
from jaxdissect.painting.strokes import cells_under

with warnings.catch_warnings():
    # New versions ask for a successor of httpx, which old versions do not know.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

TOKEN, PORT = "token-for-tests", 8765
HOME = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def client():
    app = create_app(studio(), TOKEN, PORT)
    with TestClient(app, base_url=HOME, raise_server_exceptions=False) as made:
        yield made


def post(client, body, **headers):
    headers = {"content-type": "application/json", "origin": HOME} | headers
    return client.post(f"/{TOKEN}/render", content=body, headers=headers)


def pixels(answer):
    kind, _, data = answer.json()["image"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def page_painting(*strokes, example=1):
    return painting(*strokes, seed=3, example=example)


MADE = page_painting(drawn(3, 3, brush=3.0), drawn(7, 1, "cold", strength=1.5))


# --- what it renders ------------------------------------------------------------------------------


def test_answers_are_what_python_replays(client):
    answer = post(client, to_json(MADE))
    assert answer.status_code == 200
    expected = as_bytes(replay(generator(), from_json(to_json(MADE))))
    np.testing.assert_array_equal(pixels(answer), expected)
    touched = sum(cells_under(s.stroke, (8, 8), (4, 4)).astype(int) for s in MADE.strokes) > 0
    assert answer.json()["cells"] == np.argwhere(touched).tolist()
    assert answer.json()["milliseconds"] > 0


def test_undoing_gives_the_bytes_back(client):
    before = post(client, to_json(page_painting())).json()["image"]
    assert post(client, to_json(MADE)).json()["image"] != before
    assert post(client, to_json(page_painting())).json()["image"] == before
    sample = client.get(f"/{TOKEN}/samples/1.png")
    assert sample.headers["content-type"] == "image/png"
    assert before.endswith(base64.b64encode(sample.content).decode())


def test_areas_are_counted_on_the_images(client):
    segmenter = colors_segmenter((8, 8))
    areas_of = jax.jit(lambda image: concept_areas(segmenter.segment(0, image[None], (8, 8)), 6))
    areas = [
        np.asarray(areas_of(jnp.asarray(replay(generator(), made))))
        for made in (page_painting(), MADE)
    ]
    expected = {
        (CONCEPTS.names[i], int(areas[0][0, i]), int(areas[1][0, i]))
        for i in range(1, 6)
        if areas[0][0, i] + areas[1][0, i] > 0
    }
    found = post(client, to_json(MADE)).json()["areas"]
    assert {(a["concept"], a["before"], a["after"]) for a in found} == expected
    sizes = [abs(a["after"] - a["before"]) for a in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0
    unchanged = post(client, to_json(page_painting())).json()["areas"]
    assert unchanged and all(area["before"] == area["after"] for area in unchanged)


def test_session_says_what_there_is(client):
    session = client.get(f"/{TOKEN}/session.json").json()
    layer = dissection()[LAYER]
    np.testing.assert_array_equal(np.array(session["levels"], np.float32), layer.thresholds)
    assert session["percent"] == 99.5 and session["samples"] == 4 and session["cells"] == [4, 4]
    assert session["concepts"]
    for choice in session["concepts"]:
        iou = layer.iou[CONCEPTS.index(choice["name"], category="object")][choice["units"]]
        assert (np.diff(iou) <= 0).all() and len(set(choice["units"])) == layer.num_units
        assert choice["iou"] == pytest.approx(iou[0], abs=1e-4) and iou[0] > 0.02
    assert from_json(json.dumps(session["document"])) == studio().blank(0)


def test_tabs_do_not_disturb_each_other(client):
    """Many requests at once, of several paintings: each gets the image of its own."""
    texts = [to_json(page_painting(drawn(x, 2, brush=2.0), example=x % 4)) for x in range(6)]
    alone = [post(client, text).json()["image"] for text in texts]
    assert len(set(alone)) == 6
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda text: post(client, text).json()["image"], 3 * texts))
    assert together == 3 * alone


def test_page_is_served_with_strict_headers(client):
    for address, kind in (
        ("", "text/html"),
        ("style.css", "text/css"),
        ("page.js", "text/javascript"),
        ("board.js", "text/javascript"),
        ("history.js", "text/javascript"),
    ):
        answer = client.get(f"/{TOKEN}/{address}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy and "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "http://" not in answer.text and "https://" not in answer.text
    assert client.get(f"/{TOKEN}").url.path == f"/{TOKEN}/"


# --- what it refuses ------------------------------------------------------------------------------


def still_up(client):
    return post(client, to_json(MADE)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"host": "evil.example"}, "127.0.0.1 alone"),
        ({"host": f"evil.example:{PORT}"}, "127.0.0.1 alone"),
        ({"host": "127.0.0.1:1"}, "127.0.0.1 alone"),
        ({"origin": "https://evil.example"}, "other origins"),
        ({"origin": "null"}, "other origins"),
        ({"origin": "http://127.0.0.1:1"}, "other origins"),
        ({"origin": f"https://127.0.0.1:{PORT}"}, "other origins"),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, "other sites"),
    ],
)
def test_other_hosts_and_origins_are_refused(client, headers, message):
    answer = post(client, to_json(MADE), **headers)
    assert answer.status_code == 403 and message in answer.json()["error"]
    assert still_up(client)


def test_localhost_and_links_from_elsewhere_are_fine(client):
    host = {"host": f"localhost:{PORT}", "origin": f"http://localhost:{PORT}"}
    assert post(client, to_json(MADE), **host).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get(f"/{TOKEN}/", headers=link).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "t%C3%B6ken", "%ff", "."])
def test_wrong_tokens_get_nothing(client, token):
    for path in ("", "session.json", "samples/0.png", "page.js"):
        answer = client.get(f"/{token}/{path}")
        assert answer.status_code == 403 and "wrong token" in answer.json()["error"]
    answer = client.post(f"/{token}/render", content=to_json(MADE))
    assert answer.status_code == 403
    assert still_up(client)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("", 422, "must be JSON"),
        ("{" * 50_000, 422, "must be JSON"),
        (b"\xff\x00", 422, "must be JSON"),
        ('{"format": "jaxdissect painting"}', 422, "`version`"),
        (to_json(MADE).replace('"draw"', '"smear"'), 422, "draw, erase, restore"),
        (to_json(MADE).replace('"brush": 3.0', '"brush": 3e6'), 422, "`brush`"),
        (to_json(MADE).replace("7.0", "9.0"), 422, "within the image, 0 to 8"),
        (to_json(MADE).replace("[\n     3.0,", "[\n     -3.0,"), 422, "coordinates from 0"),
        (to_json(MADE).replace('"example": 1', '"example": 4'), 422, "must be below 4"),
        (to_json(MADE).replace('"seed": 3', '"seed": 4'), 422, "`seed`"),
        (to_json(MADE).replace("layer2", "layer3"), 422, "`layer`"),
        (to_json(MADE).replace('"digest": null', '"digest": "0123"'), 422, "`digest` (='0123')"),
        (to_json(MADE).replace('"units": [', '"units": [ 99,'), 422, "values"),
        (b" " * (MAX_BODY + 1), 413, "at most 4194304 bytes"),
    ],
)
def test_malformed_requests(client, body, status, message):
    answer = post(client, body)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]
    assert still_up(client)


def test_oversized_strokes(client):
    document = json.loads(to_json(MADE))
    document["strokes"][0]["points"] = [[1, 1]] * 513
    answer = post(client, json.dumps(document))
    assert answer.status_code == 422
    assert "strokes[0]" in answer.json()["error"] and "not 513" in answer.json()["error"]
    document["strokes"][0]["points"] = [[1.0625, 1.0625]] * 512
    assert post(client, json.dumps(document)).status_code == 200
    stroke = document["strokes"].pop(0)
    # In a larger image, every coordinate may be four figures longer.
    assert 200 * (len(json.dumps(stroke)) + 2 * 512 * 4) < MAX_BODY
    document["strokes"] *= 200
    assert post(client, json.dumps(document)).status_code == 200
    document["strokes"] *= 2
    assert "at most 200" in post(client, json.dumps(document)).json()["error"]


def test_other_addresses_methods_and_types(client):
    for path in ("nothing", "../pyproject.toml", "%2e%2e/server.py", "server.py", "samples/4.png"):
        assert client.get(f"/{TOKEN}/{path}").status_code in (403, 404)
    for name in ("4", "-1", "x", "9" * 5000):
        answer = client.get(f"/{TOKEN}/samples/{name}.png")
        assert answer.status_code == 404 and f"no sample {name}" in answer.json()["error"]
    assert client.put(f"/{TOKEN}/render").status_code == 405
    answer = post(client, to_json(MADE), **{"content-type": "text/plain"})
    assert answer.status_code == 415 and "application/json" in answer.json()["error"]
    assert still_up(client)


def test_bugs_are_reported_and_survived(client, monkeypatch):
    def broken(painting):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(studio(), "render", broken)
    answer = post(client, to_json(MADE))
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["error"] and "secret" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    monkeypatch.undo()
    assert still_up(client)


def test_studios_need_a_dissection_of_their_layer():
    subject = Generator(generator(), SIZES[0])
    with pytest.raises(ValueError, match="no layer 'layer3'; it has: layer2"):
        Studio(subject, "layer3", dissection())
    with pytest.raises(ValueError, match="layer9"):
        Studio(subject, "layer9", dissection())


def test_studios_without_a_segmenter_count_no_areas():
    made = Studio(Generator(generator(), SIZES[0]), LAYER, dissection(), name="toy", seed=3)
    rendering = made.render(MADE)
    assert rendering.areas == ()
    np.testing.assert_array_equal(rendering.image, studio().render(MADE).image)
    assert jnp.asarray(rendering.cells).sum() == len(np.argwhere(rendering.cells)) > 0


def test_uploads_that_break_off_are_no_errors():
    """The application itself, as the server calls it when a connection is lost."""
    headers = [(b"host", HOME[7:].encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"/{TOKEN}/render", "headers": headers}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
    received = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return received.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(create_app(studio(), TOKEN, PORT)(scope, receive, send))
    assert sent[0]["status"] == 400 and not received
