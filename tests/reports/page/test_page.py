"""The report page is displayed correctly in a browser and does not access the network."""

import base64
import hashlib
import io
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hatchling.builders.wheel import WheelBuilder
from matplotlib.figure import Figure
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from celeba_lab.reports.page.page import PageTable, Picture, Section, render_page, write_page

ROOT = Path(__file__).resolve().parents[3]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "<img src=http://127.0.0.1:9/x><script>document.title = 'taken'</script>\"'&"
MANY = 1560
NAMES = ("Blond_Hair", "Male", "Smiling", "Wearing_Lipstick")


class Elements(HTMLParser):
    """All start tags of a page with their attributes, and the text without style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(table: PageTable) -> str:
    return render_page("title", {}, [Section("Scores", "", tables=[table])])


def cells_of(html: str) -> list[list[str]]:
    """Return the text of all cells, row by row. The first row contains the headings."""
    rows = re.findall("<tr>(.*?)</tr>", html, flags=re.DOTALL)
    parts = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return [[Elements(part).text for part in row] for row in parts]


def column_of(values: Any) -> list[str]:
    """Return the text of a column as shown on the page."""
    frame = pd.DataFrame({"attribute": [f"a{k}" for k in range(len(values))], "x": values})
    html = page_of(PageTable("Scores", frame))
    return [row[1] for row in cells_of(html)[1:]]


def long_table(scores: int) -> PageTable:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"target": [f"{NAMES[k % 4]}_{k}" for k in range(MANY)], "group": "Young"})
    for k in range(scores):
        frame[f"score {k}"] = random.random(MANY) - 0.5
    return PageTable("Every target by every group", frame, file="tables/groups_test.csv")


def chart(path: Path, inches: tuple[float, float] = (5, 3)) -> Path:
    figure = Figure(figsize=inches)
    figure.text(0.1, 0.9, "thin letters", fontsize=8, color="#D55E00")
    figure.add_subplot().plot([0, 1], [1, 0], color="#0072B2")
    figure.savefig(path, dpi=150)
    return path


def noise(path: Path, width: int, height: int, seed: int = 0) -> Path:
    """Write an image of noise at several scales, which is as hard to compress as a photograph."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for size, strength in ((64, 60), (8, 40), (1, 12)):
        coarse = Image.fromarray(random.integers(0, 256, (height // size + 1, width // size + 1, 3), dtype=np.uint8))
        image += (np.asarray(coarse.resize((width, height))) / 127.5 - 1) * strength
    Image.fromarray((image + 128).clip(0, 255).astype(np.uint8)).save(path, dpi=(150, 150), compress_level=1)
    return path


def embedded(html: str) -> list[tuple[Image.Image, dict[str, str | None], int]]:
    """Return the images of a page with their attributes and sizes in bytes."""
    found = []
    for attributes in Elements(html).all("img"):
        head, _, data = (attributes["src"] or "").partition(";base64,")
        assert head == "data:image/webp"
        raw = base64.b64decode(data, validate=True)
        found.append((Image.open(io.BytesIO(raw)).convert("RGB"), attributes, len(raw)))
    return found


# -- without a browser -------------------------------------------------------------------------------------------------


def test_all_inserted_text_is_escaped(tmp_path):
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "x": [HOSTILE]})
    section = Section(
        HOSTILE,
        HOSTILE,
        tables=[PageTable(HOSTILE, frame, file=HOSTILE)],
        pictures=[Picture(chart(tmp_path / "a.png"), HOSTILE, alt=HOSTILE)],
    )
    html = render_page(HOSTILE, {HOSTILE: HOSTILE}, [section], warning=HOSTILE)
    elements = Elements(html)
    assert len(elements.all("script")) == 1
    [picture] = elements.all("img")
    assert picture["alt"] == HOSTILE
    # The text is in the title (twice), the banner, a fact (twice), the contents, the section (twice), the table (five
    # times) and below the image.
    assert elements.text.count(HOSTILE) == 14
    assert "<img src=http" not in html


def test_the_page_refers_to_no_other_address(tmp_path):
    section = Section("Scores", "", pictures=[Picture(chart(tmp_path / "a.png"), "A chart", alt="a chart")])
    html = render_page("title", {}, [section])
    addresses = [
        value
        for _, attributes in Elements(html).tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert addresses
    assert all((value or "").startswith(("#", "data:")) for value in addresses)
    assert "url(" not in html
    assert "@import" not in html


def test_the_security_policy_contains_the_hashes_of_style_and_script():
    html = render_page("title", {}, [])
    policies = [meta for meta in Elements(html).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    policy = policies[0]["content"] or ""
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.98765, -0.5, -0.0], ["0.9877", "−0.5000", "0.0000"]),
        ([1.0, 0.0], ["1.0000", "0.0000"]),  # Scores.
        ([1204.0, np.nan, 3.0], ["1,204", "–", "3"]),  # Counts, which are floats because of the undefined value.
        ([19962, -3], ["19,962", "−3"]),
        ([1234.5, 2.0], ["1,234.50", "2.00"]),
        ([0.5, 1.2e-7, 2e12], ["0.50", "1.2e−07", "2.0e+12"]),
        ([np.inf, -np.inf, 1.5], ["∞", "−∞", "1.5000"]),
        (np.array([0.1, 0.2], dtype=np.float32), ["0.1000", "0.2000"]),
        ([0.5, None], ["0.5000", "–"]),
        (pd.array([7, None], dtype="Int64"), ["7", "–"]),
        (pd.array([True, None], dtype="boolean"), ["yes", "–"]),
        ([True, False], ["yes", "no"]),
        (["Male", None], ["Male", "–"]),
        (["", "Male"], ["", "Male"]),
        ([np.nan, np.nan], ["–", "–"]),
    ],
)
def test_numbers_are_formatted_for_reading(values, texts):
    assert column_of(values) == texts


def test_settings_are_shown_as_they_are_typed():
    frame = pd.DataFrame({"run": ["a", "b"], "lr": [0.00001, 0.5], "val/accuracy": [0.5, 0.25]})
    rows = cells_of(page_of(PageTable("Runs", frame, settings=["lr"])))[1:]
    assert [row[1:] for row in rows] == [["1e-05", "0.5000"], ["0.5", "0.2500"]]


def test_undefined_values_are_marked():
    html = page_of(PageTable("Scores", pd.DataFrame({"attribute": ["Bald", None], "auroc": [np.nan, 0.5]})))
    undefined = [attributes for _, attributes in Elements(html).tags if attributes.get("class") == "undefined"]
    assert [attributes.get("title") for attributes in undefined] == ["undefined", "undefined"]


def test_numbers_keep_their_precision_for_sorting():
    frame = pd.DataFrame({"attribute": ["Bald", "Male", "Young"], "auroc": [0.12345678901234567, np.inf, 1e-9]})
    values = [cell["data-value"] for cell in Elements(page_of(PageTable("Scores", frame))).all("td")]
    assert [float(value or "") for value in values] == frame["auroc"].tolist()
    assert values[1] == "Infinity", "JavaScript must be able to parse infinity"


@pytest.mark.parametrize(
    ("rows", "extent", "shown"),
    [
        (200, "first 200 of 6,240 rows", 200),
        (None, "6,240 rows", 6240),
        (9999, "6,240 rows", 6240),
        (0, "6,240 rows", 0),
    ],
)
def test_the_caption_of_a_shortened_table_names_the_full_table(rows, extent, shown):
    frame = pd.DataFrame({"image_id": [f"{n:06d}.jpg" for n in range(6240)]})
    html = page_of(PageTable("Every mistake", frame, file="tables/mistakes_test.csv", rows=rows))
    [caption] = re.findall("<figcaption.*?</figcaption>", html, flags=re.DOTALL)
    text = " ".join(Elements(caption).text.split())
    assert text == f"Every mistake {extent}; full table: tables/mistakes_test.csv"
    assert html.count('<th scope="row"') == shown
    assert html.count("<table") == (shown > 0)


def test_duplicate_headings_and_empty_tables_are_allowed():
    frame = pd.DataFrame([["Bald", 0.5, "x"]], columns=["attribute", "low", "low"])
    assert cells_of(page_of(PageTable("Scores", frame))) == [["attribute", "low", "low"], ["Bald", "0.5000", "x"]]
    html = page_of(PageTable("Scores", frame.head(0)))
    assert "0 rows" in html
    assert "<table" not in html


def test_blank_lines_separate_paragraphs():
    html = render_page("title", {}, [Section("Scores", "One\nline.\n\nTwo.\n \nThree.\n", ())])
    [section] = re.findall("<section.*?</section>", html, flags=re.DOTALL)
    assert [" ".join(text.split()) for text in re.findall("<p>(.*?)</p>", section, flags=re.DOTALL)] == [
        "One line.",
        "Two.",
        "Three.",
    ]


def test_the_banner_is_shown_only_with_a_warning():
    assert 'role="note"' not in render_page("title", {}, [])
    assert 'role="note"' in render_page("title", {}, [], warning="SYNTHETIC faces")


def test_the_template_is_in_the_wheel():
    paths = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert "celeba_lab/reports/page/page.html.jinja" in paths


# -- images ------------------------------------------------------------------------------------------------------------


def test_charts_are_encoded_without_visible_loss(tmp_path):
    path = chart(tmp_path / "a.png")
    [(image, attributes, size)] = embedded(render_page("t", {}, [Section("s", "", (), [Picture(path, "c", "a")])]))
    with Image.open(path) as file:
        original = np.asarray(file.convert("RGB")).astype(int)
    shown = np.asarray(image).astype(int)
    assert shown.shape == original.shape
    assert np.abs(shown - original).max() <= 24, "a lossy encoding would change the edges of coloured letters by more"
    assert (shown[original.min(axis=2) == 255] == 255).all(), "the background must stay white"
    assert size < path.stat().st_size
    assert (attributes["width"], attributes["height"]) == ("480", "288"), "five by three inches at 96 pixels per inch"


def test_wide_figures_are_scaled_down(tmp_path):
    path = chart(tmp_path / "a.png", (20, 5))
    [(image, attributes, _)] = embedded(render_page("t", {}, [Section("s", "", (), [Picture(path, "c", "a")])]))
    assert image.size == (2200, 550)
    assert (attributes["width"], attributes["height"]) == ("1920", "480")


def test_transparent_figures_get_a_white_background(tmp_path):
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "a.png")
    section = Section("s", "", (), [Picture(tmp_path / "a.png", "c", "a")])
    [(image, _, _)] = embedded(render_page("t", {}, [section]))
    assert image.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.slow
def test_a_page_with_twenty_noisy_images_and_a_long_table_is_below_eight_megabytes(tmp_path):
    paths = [noise(tmp_path / "wide.png", 3000, 1200), noise(tmp_path / "faces.png", 1452, 1449)]
    pictures = [Picture(path, "c", "a") for path in paths]
    html = render_page("title", {}, [Section("Groups", "", [long_table(scores=10)], pictures)])
    found = embedded(html)
    largest = max(size for _, _, size in found)
    assert largest <= 256 * 1024
    assert len(html.encode()) + 18 * largest * 4 / 3 < 8e6
    assert all(image.width > 700 for image, _, _ in found), "the images must keep a useful width"


def test_a_missing_image_is_an_error_and_keeps_the_old_page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(FileNotFoundError):
        write_page(path, "title", {}, [Section("s", "", (), [Picture(tmp_path / "none.png", "c", "a")])])
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    small = pd.DataFrame(
        {
            "attribute": ["Male", "Bald", HOSTILE, "Young", "unbroken" * 20],
            "images": [9, 10000, 200, 30, 1],
            "auroc": [0.51, np.nan, -0.3, 1e-12, 0.5],
            "found in": ["run 10", "run 9", None, "run 2", "Run 1"],
            "few": [True, False, False, True, False],
        }
    )
    wide = pd.DataFrame({"attribute": list(NAMES) * 10, **{f"score {k}": np.linspace(0, 1, 40) for k in range(18)}})
    sections = [
        Section("Attributes", "First.\n\nSecond.", [PageTable("Small", small), PageTable("Wide", wide)]),
        Section(
            "Groups",
            HOSTILE,
            [long_table(scores=2)],
            [Picture(chart(folder / "a.png", (20, 5)), "A chart", alt="a chart")],
        ),
        Section("Mistakes", "", [], [Picture(noise(folder / "b.png", 600, 400), "Faces", alt="faces")]),
    ]
    facts = {"experiment": "attributes", "checkpoint": "outputs/" + "long" * 40 + ".ckpt"}
    return write_page(folder / "report.html", "CelebA · test", facts, sections, warning="SYNTHETIC faces")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"Install Chromium or Chrome to test the page: none of {', '.join(BROWSERS)} is on the PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Callable[..., Page]]:
    """Open the report in a new window. ``page.complaints`` records errors, and ``page.requests`` records requests."""
    contexts = []

    def visit(width: int = 1400, height: int = 1000, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(report.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()


def figure(page: Page, caption: str) -> Locator:
    return page.locator("figure.table", has=page.locator("strong", has_text=re.compile(f"^{caption}")))


def read_column(page: Page, heading: str, caption: str = "Small") -> list[str]:
    """Return the visible text of a column, from top to bottom."""
    return figure(page, caption).evaluate(
        """(figure, heading) => {
            const heads = [...figure.querySelectorAll("thead th")];
            const k = heads.findIndex((head) => head.textContent === heading);
            return [...figure.querySelectorAll("tbody tr")].filter((row) => row.offsetParent !== null)
                .map((row) => row.cells[k].textContent);
        }""",
        heading,
    )


def sort_by(page: Page, heading: str, caption: str = "Small") -> str | None:
    """Click a heading, and return the sort direction that it indicates."""
    head = figure(page, caption).get_by_role("columnheader", name=heading)
    head.get_by_role("button").click()
    return head.get_attribute("aria-sort")


def test_the_whole_page_is_shown(visit):
    page = visit()
    assert page.title() == "CelebA · test"
    assert page.get_by_role("heading").all_inner_texts() == [
        "CelebA · test",
        "Contents",
        "Attributes",
        "Groups",
        "Mistakes",
    ]
    assert page.get_by_role("note").inner_text() == "SYNTHETIC faces"
    assert page.locator("dt").all_inner_texts() == ["experiment", "checkpoint"]
    assert page.locator("main img").evaluate_all("all => all.map((image) => image.naturalWidth)") == [2200, 600]
    assert page.locator("main p").first.inner_text() == "First."
    assert page.complaints == []


def test_no_request_leaves_the_page(visit, report):
    page = visit()
    sort_by(page, "auroc")
    page.get_by_role("button", name="a chart").click()
    page.wait_for_load_state("networkidle")
    others = [url for url in page.requests if url != report.as_uri() and not url.startswith("data:")]
    assert report.as_uri() in page.requests
    assert others == []
    assert HOSTILE in read_column(page, "attribute")
    assert page.title() == "CelebA · test"


def test_the_security_policy_blocks_injected_code(visit):
    page = visit()
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken'";
            document.body.append(script);
            const image = new Image();
            image.src = "http://127.0.0.1:9/x";
            document.body.append(image);
        }"""
    )
    page.wait_for_timeout(100)
    assert page.title() == "CelebA · test"
    assert sum("Content Security Policy" in complaint for complaint in page.complaints) == 2


def test_numbers_are_sorted_numerically_with_undefined_values_last(visit):
    page = visit()
    assert sort_by(page, "auroc") == "ascending"
    assert read_column(page, "auroc") == ["−0.3000", "1.0e−12", "0.5000", "0.5100", "–"]
    assert sort_by(page, "auroc") == "descending"
    assert read_column(page, "auroc") == ["0.5100", "0.5000", "1.0e−12", "−0.3000", "–"]
    assert sort_by(page, "images") == "ascending"
    assert read_column(page, "images") == ["1", "9", "30", "200", "10,000"]
    assert figure(page, "Small").locator("[aria-sort]").count() == 1


def test_text_is_sorted_alphabetically_with_undefined_values_last(visit):
    page = visit()
    assert sort_by(page, "found in") == "ascending"
    assert [name.lower() for name in read_column(page, "found in")] == ["run 1", "run 2", "run 9", "run 10", "–"]
    assert sort_by(page, "found in") == "descending"
    assert [name.lower() for name in read_column(page, "found in")] == ["run 10", "run 9", "run 2", "run 1", "–"]
    sort_by(page, "few")
    assert read_column(page, "few") == ["no", "no", "no", "yes", "yes"]


def test_sorting_moves_whole_rows(visit):
    page = visit()
    before = dict(zip(read_column(page, "attribute"), read_column(page, "images"), strict=True))
    sort_by(page, "auroc")
    assert dict(zip(read_column(page, "attribute"), read_column(page, "images"), strict=True)) == before
    assert read_column(page, "attribute")[0] == HOSTILE


def test_tables_can_be_sorted_with_the_keyboard(visit):
    page = visit()
    figure(page, "Small").get_by_role("button", name="images").focus()
    page.keyboard.press("Enter")
    assert read_column(page, "images")[0] == "1"
    page.keyboard.press("Space")
    assert read_column(page, "images")[0] == "10,000"


def test_a_long_table_can_be_filtered(visit):
    page = visit()
    long = figure(page, "Every target")
    filter_box, said = long.get_by_label("Filter rows"), long.get_by_role("status")
    assert said.inner_text() == "1,560 of 1,560 rows shown"
    filter_box.fill("blond hair young")
    names = read_column(page, "target", "Every target")
    assert len(names) == MANY // 4
    assert all(name.startswith("Blond_Hair") for name in names)
    assert said.inner_text() == "390 of 1,560 rows shown"
    assert sort_by(page, "score 1", "Every target") == "ascending"
    values = [float(value.replace("−", "-")) for value in read_column(page, "score 1", "Every target")]
    assert values == sorted(values)
    assert len(values) == MANY // 4, "sorting must keep the filter"
    filter_box.fill(f"-{abs(values[0]):.4f}")
    assert values[0] in [float(value.replace("−", "-")) for value in read_column(page, "score 1", "Every target")]
    filter_box.fill("no such row")
    assert read_column(page, "target", "Every target") == []
    filter_box.fill("")
    assert len(read_column(page, "target", "Every target")) == MANY
    assert figure(page, "Small").get_by_label("Filter rows").count() == 0, "a table of five rows must not have a filter"


def test_only_tables_scroll_horizontally_on_a_phone(visit):
    page = visit(360, 740, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth <= 360 && innerWidth === 360")
    box = figure(page, "Wide").locator(".box")
    name, value = box.locator("tbody th").first, box.locator("tbody td").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    x_name, x_value = name.bounding_box()["x"], value.bounding_box()["x"]
    box.evaluate("box => box.scrollTo(200, 0)")
    assert value.bounding_box()["x"] == pytest.approx(x_value - 200, abs=1)
    assert name.bounding_box()["x"] == pytest.approx(x_name, abs=1), "the attribute names must stay visible"
    assert figure(page, "Small").locator("tbody th").first.bounding_box()["width"] < 180, (
        "the attribute names must leave space for the numbers"
    )


def test_text_is_large_enough_on_a_phone(visit):
    sizes = visit(360, 740).evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()))
            .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert len(sizes) > MANY
    assert min(sizes) >= 14


def test_the_contents_stay_beside_the_text_on_a_wide_screen(visit):
    page = visit()
    link = page.get_by_role("link", name="Groups")
    link.click()
    page.locator("nav [aria-current]").wait_for()
    box = page.locator("nav").bounding_box()
    assert page.evaluate("scrollY") > 500
    assert 0 <= box["y"] < 100
    assert box["x"] + box["width"] <= page.locator("main").bounding_box()["x"]
    assert page.locator("nav [aria-current]").all_inner_texts() == ["Groups"]


def test_an_image_opens_in_full_size(visit):
    page = visit(390, 844)
    button = page.get_by_role("button", name="a chart")
    dialog = page.locator("dialog")
    assert not dialog.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    whole = dialog.get_by_role("img", name="a chart")
    whole.wait_for()
    assert whole.bounding_box()["width"] == 2200
    assert dialog.locator("p").inner_text() == "A chart"
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert whole.bounding_box()["x"] < 0, "the arrow keys must scroll the image"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("button => button === document.activeElement")
    button.click()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_all_content_is_visible_without_javascript(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("tbody tr:visible").count() == 5 + 40 + MANY
    assert page.locator("main img:visible").count() == 2
    assert page.locator("input:visible, dialog:visible").count() == 0


@pytest.mark.slow
def test_figures_keep_a_white_background_in_dark_mode(visit):
    color = "element => getComputedStyle(element).backgroundColor"
    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    assert light.locator("body").evaluate(color) == "rgb(255, 255, 255)"
    assert max(map(int, re.findall(r"\d+", dark.locator("body").evaluate(color)))) < 50
    assert dark.locator("main img").first.evaluate(color) == "rgb(255, 255, 255)"


@pytest.mark.slow
def test_a_printed_page_has_full_width_tables_with_their_first_rows(visit):
    page = visit(color_scheme="dark")
    page.emulate_media(media="print")
    assert len(read_column(page, "target", "Every target")) == 60
    assert len(read_column(page, "attribute", "Wide")) == 40
    assert figure(page, "Wide").locator(".box").evaluate("box => getComputedStyle(box).overflow") == "visible"
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
