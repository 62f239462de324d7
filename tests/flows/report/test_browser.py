"""The pages in a headless Chromium, with real clicks and keys and without complaints of the browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.report.comparison import write_comparison
from flows.report.run_page import write_report
from nst_core.options import StylizeOptions
from tests.flows.browser import Page, browser, needs_chromium
from tests.flows.outputs import Output, drawing, studio

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser tab for all tests of this file; pages keep no state from one test to the next."""
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.resize(1280, 900)
        yield page


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """A run with an outlier, a failed and a rejected row, and cells that contain scripts."""
    made = studio(tmp_path_factory.mktemp("studio"))
    made.history("pair-1", [5.0, 3.0, 2.0, 4.0, 1.0, 0.5], levels=[1, 1, 1, 0, 0, 0])
    return made


@pytest.fixture
def page(tab: Page, output: Output) -> Iterator[Page]:
    """report.html of the run, newly opened; after the test, the browser must have no complaints."""
    tab.complaints.clear()
    tab.requested.clear()
    tab.open(f"file://{write_report(output.address)}")
    yield tab
    assert tab.complaints == []


def ids(page: Page) -> list[str]:
    return page.texts(".card .name b")


def position(page: Page) -> float:
    return float(page.run("document.querySelector('#slider').style.getPropertyValue('--at').replace('%', '')"))


PAIRS = [f"pair-{n}" for n in range(1, 9)]


def test_all_rows_are_listed_in_order(page: Page) -> None:
    """Every row has a card with content, style and pastiche side by side."""
    assert ids(page) == [*PAIRS, "far", "lost", "bad"]
    assert page.text("#count") == "11 of 11 pairs"
    boxes = page.run(
        "[...document.querySelectorAll('.card figure')].slice(0, 3).map((one) => one.getBoundingClientRect().y)"
    )
    assert len(set(boxes)) == 1
    page.wait_for("[...document.querySelectorAll('.card img')].slice(0, 3).every((one) => one.naturalWidth > 0)")


def test_no_script_of_a_cell_runs(page: Page) -> None:
    """A script in a cell is shown as text: no tag or event handler comes of it, and the title is unchanged."""
    assert page.run("document.title") == "pairs · style transfer"
    assert "<script>document.title=`taken`</script>" in page.text("[data-id='far'] .about > .soft")
    assert page.run("document.querySelectorAll('script').length") == 3
    assert page.run("document.querySelectorAll('[onerror]').length") == 0


def test_an_injected_script_does_not_run(page: Page) -> None:
    """If escaping ever failed, the page's policy would still block scripts and requests that are not its own."""
    page.run(
        "(() => { const one = document.createElement('script'); one.textContent = 'document.title = `taken`';"
        " document.body.append(one); const img = document.createElement('div');"
        " img.innerHTML = '<img src=x onerror=\"document.title=`taken`\">'; document.body.append(img); })()"
    )
    page.run("new Promise((done) => setTimeout(done, 100))")

    assert page.run("document.title") == "pairs · style transfer"
    assert any("Content Security Policy" in one for one in page.complaints)
    page.complaints.clear()


def test_the_list_can_be_searched(page: Page) -> None:
    """The search field leaves the rows that contain every word, in an id, a file name, a note or a reason."""
    page.key("/")
    for letter in "NIGHT 7":
        page.key(letter)
    assert ids(page) == ["pair-7"]

    page.type("#text", "no such file")
    assert ids(page) == ["lost"]

    page.type("#text", "nothing like it")
    assert page.text("#cards") == "No pair is like that."

    page.click("#clear")
    assert len(ids(page)) == 11


def test_the_list_can_be_filtered(page: Page) -> None:
    """Filters by style, status, range of a loss and outliers add up."""
    page.choose("#style", "waves.jpg")
    assert ids(page) == [*PAIRS[:4], "lost", "bad"]

    page.choose("#status", "succeeded")
    page.type("#low", "1.05")
    assert ids(page) == ["pair-3", "pair-4"]
    page.type("#high", "1.07")
    assert ids(page) == ["pair-3"]

    page.click("#clear")
    page.click("#outliers")
    assert ids(page) == ["far"]
    assert page.run("document.querySelector('#outliers').getAttribute('aria-pressed')") == "true"


def test_the_list_can_be_sorted(page: Page) -> None:
    """The list can be sorted by any loss in both directions; rows without a loss always come last."""
    page.choose("#sort", "total_loss")
    assert ids(page)[:9] == [*PAIRS, "far"]
    assert set(ids(page)[9:]) == {"lost", "bad"}

    page.click("#direction")
    assert ids(page)[:9] == ["far", *reversed(PAIRS)]
    assert set(ids(page)[9:]) == {"lost", "bad"}

    page.choose("#sort", "style_loss")
    assert ids(page)[0] == "far"


def test_a_bar_of_a_histogram_filters_by_its_range(page: Page) -> None:
    """A click on a bar, or Enter on it, shows the pairs in its range."""
    page.click(".bar[role=button][data-measure=total_loss]")
    assert page.run("document.querySelector('#low').value") == "1.02"
    assert "far" not in ids(page)
    assert "pair-1" in ids(page)

    page.run("[...document.querySelectorAll('.bar[role=button][data-measure=total_loss]')].at(-1).focus()")
    page.key("Enter")
    assert ids(page) == ["far"]


def test_a_point_of_the_scatter_plot_opens_its_pair(page: Page) -> None:
    """A click on a point opens its pair, and the list can be sorted by distances as by losses."""
    page.click(".dot[data-row='4']")
    page.wait_for("document.querySelector('#details').textContent.includes('style distance')")
    assert page.run("document.querySelectorAll('.dot').length") == 8

    page.key("Escape")
    page.choose("#sort", "style_distance")
    assert ids(page)[:2] == ["pair-8", "pair-7"]


def test_the_slider_compares_content_and_pastiche(page: Page, output: Output) -> None:
    """A click on a pair opens it; dragging moves the line, and the pastiche is the image file itself at full size."""
    page.click("[data-id='pair-2'] .trio")
    page.wait_for("document.querySelector('#picture-note').textContent.includes('the file itself, 64 × 48 px')")

    assert page.run("document.querySelector('#viewer').open")
    assert page.run("document.querySelector('#slider .over').src").startswith(f"file://{output.address}/images/pair-2-")
    assert "content: a copy of 64 × 48 px" in page.text("#picture-note")
    assert position(page) == 50.0

    x, y = page.centre("#slider")
    width = page.run("document.querySelector('#slider').getBoundingClientRect().width")
    page.drag((x, y), (x + width / 4, y))
    assert position(page) == pytest.approx(75.0, abs=0.5)
    clipped = page.run("getComputedStyle(document.querySelector('#slider .over')).clipPath")
    assert clipped.startswith("inset(0px 0px 0px 7")


def test_actual_size_shows_one_pixel_per_pixel(page: Page) -> None:
    """A fitted image fills its place; at 1:1 it has its own size."""
    page.click("[data-id='pair-2'] .trio")
    assert page.run("document.querySelector('#slider').getBoundingClientRect().width") > 300

    page.click("#actual")
    assert page.run("document.querySelector('#slider').getBoundingClientRect().width") == pytest.approx(64)


def test_the_page_can_be_used_with_keys(page: Page) -> None:
    """Keys j and k walk through pairs, Enter opens one, arrows move the line, and Esc closes it and
    restores the focus.
    """
    focused = "document.activeElement.closest('.card')?.dataset.id"
    for key in "jjjk":
        page.key(key)
    assert page.run(focused) == "pair-2"

    page.key("Enter")
    assert page.text("#viewer-title") == "pair-2"
    page.key("ArrowRight")
    assert position(page) == 52.0
    page.key("ArrowLeft", shift=True)
    assert position(page) == 42.0
    page.key("Home")
    assert position(page) == 0.0
    page.key("j")
    assert (page.text("#viewer-title"), position(page)) == ("pair-3", 50.0)
    page.key("f")
    assert page.run("document.querySelector('#actual').getAttribute('aria-pressed')") == "true"

    page.key("Escape")
    page.wait_for(f"{focused} === 'pair-3'")
    assert not page.run("document.querySelector('#viewer').open")


def test_the_viewer_follows_filter_and_order(page: Page) -> None:
    """Next and previous follow the filter and the order of the list, and stop at its ends."""
    page.choose("#style", "night.jpg")
    page.click("[data-id='pair-8'] .trio")
    page.click("#next")
    assert page.text("#viewer-title") == "far"
    assert page.run("document.querySelector('#next').disabled")

    page.click("#previous")
    page.click("#previous")
    assert page.text("#viewer-title") == "pair-7"


def test_a_pair_with_a_history_has_a_curve(page: Page) -> None:
    """The curve shows the losses over the evaluations of all levels, with a line where a level began; a pair without a
    history has none.
    """
    page.click("[data-id='pair-1'] .trio")
    label = page.run("document.querySelector('#details svg').getAttribute('aria-label')")
    assert label == "total loss from 5 to 0.5 in 9 evaluations"
    assert page.run("document.querySelectorAll('#details svg .level').length") == 1
    assert page.texts("#details .legend button") == ["total0.5", "content0.5", "30 × style15"]

    # Each curve can be hidden.
    page.click("#details .legend .part-2")
    assert page.run("document.querySelectorAll('#details svg .curve').length") == 2
    assert page.run("document.querySelector('#details .legend .part-2').getAttribute('aria-pressed')") == "false"

    page.key("j")
    assert page.run("document.querySelectorAll('#details svg').length") == 0


def test_a_timeline_is_played(page: Page, output: Output) -> None:
    """A timeline is a still image until a click or the key t plays it, each time from its beginning."""
    source = "document.querySelector('#film img').src"
    page.click("[data-id='pair-1'] .trio")
    assert page.run(source).startswith("data:image/webp")

    page.click("#film")
    assert page.run(source) == f"file://{output.address}/timelines/pair-1-01234567.gif#1"
    page.wait_for("document.querySelector('#film img').naturalWidth === 32")
    page.key("t")
    assert page.run(source).startswith("data:image/webp")
    page.key("t")
    assert page.run(source).endswith("#2")

    page.key("j")
    assert page.run("document.querySelector('#film')") is None


def test_a_timeline_out_of_reach_is_reported(tab: Page, output: Output, tmp_path: Path) -> None:
    """In a page that was sent alone the still image stays, and a line names the missing file."""
    tab.complaints.clear()
    (tmp_path / "sent.html").write_bytes(Path(write_report(output.address)).read_bytes())
    tab.open(f"file://{tmp_path}/sent.html")
    tab.click("[data-id='pair-1'] .trio")
    tab.click("#film")

    tab.wait_for("document.querySelector('#details [role=status]').textContent !== ''")
    assert tab.text("#details [role=status]") == "timelines/pair-1-01234567.gif cannot be reached from here"
    assert tab.run("document.querySelector('#film img').naturalWidth") == 64


def test_a_failed_row_shows_its_reason(page: Page) -> None:
    """The reason is on the card, in the table at the top and in the viewer, which has no slider for this row."""
    assert page.text("[data-id='lost'] .reason") == "gone.png: no such file <b>here</b>"
    assert "gone.png: no such file <b>here</b>" in page.texts(".problems td")

    page.click("[data-id='lost'] .trio")
    page.key("ArrowRight")
    assert "no such file" in page.text("#details .reason")
    assert page.run("document.querySelector('#slider').classList.contains('single')")


def test_a_command_can_be_copied(page: Page, output: Output) -> None:
    """The button copies the command that retries failed rows, or selects it where there is no clipboard."""
    page.click(".command .copy")
    page.wait_for("document.querySelector('.command .copy').textContent !== 'Copy'")

    done = page.text(".command:first-child .copy")
    assert done in ("Copied", "Marked")
    if done == "Marked":
        assert page.run("getSelection().toString()") == f"nst retry {output.address}"


def test_the_page_has_a_light_and_a_dark_theme(page: Page) -> None:
    """The page follows the system's theme, and a button switches to the other one."""
    background = "getComputedStyle(document.body).backgroundColor"
    found = {}
    for theme in ("dark", "light"):
        page.prefer(theme)
        page.wait_for(f"document.documentElement.dataset.theme === '{theme}'")
        found[theme] = page.run(background)

    assert sum(map(int, found["dark"][4:-1].split(","))) < 150
    assert sum(map(int, found["light"][4:-1].split(","))) > 600
    page.click("#theme")
    assert page.run(background) == found["dark"]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    """On a phone, a tablet and a desktop neither the list nor the viewer scrolls sideways."""
    page.resize(width, 800, is_phone=width < 500)
    too_wide = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.run(too_wide) <= 0

    page.click("[data-id='pair-2'] .trio")
    assert (
        page.run(
            "(() => { const one = document.querySelector('#viewer'); return one.scrollWidth - one.clientWidth; })()"
        )
        <= 0
    )
    assert page.run("document.querySelector('#slider').getBoundingClientRect().width") > 150
    page.resize(1280, 900)


def test_the_reasons_of_failed_rows_fit_a_phone(page: Page) -> None:
    """On a phone the reasons at the top are not cut off at the right; they have lines of their own."""
    page.resize(360, 800, is_phone=True)
    too_wide = page.run(
        "(() => { const one = document.querySelector('.scroll'); return one.scrollWidth - one.clientWidth; })()"
    )
    page.resize(1280, 900)

    assert too_wide <= 0


def test_the_page_requests_nothing_from_the_network(page: Page, output: Output) -> None:
    """The browser loads only the page, what is inside it, and the run's own images."""
    page.click("[data-id='pair-2'] .trio")
    page.wait_for("document.querySelector('#picture-note').textContent.includes('the file itself')")

    allowed = ("data:", *(f"file://{output.address}/{place}" for place in ("report.html", "images/", "timelines/")))
    assert [url for url in page.requested if not url.startswith(allowed)] == []
    assert any(url.endswith(".png") for url in page.requested)


def test_a_page_sent_alone_shows_its_thumbnails(tab: Page, output: Output, tmp_path: Path) -> None:
    """A page that was sent as a single file compares the thumbnails, and says so."""
    tab.complaints.clear()
    (tmp_path / "sent.html").write_bytes(Path(write_report(output.address)).read_bytes())
    tab.open(f"file://{tmp_path}/sent.html")
    tab.click("[data-id='pair-2'] .trio")
    tab.wait_for("document.querySelector('#picture-note').textContent.includes('cannot be reached from here')")

    assert tab.run("document.querySelector('#slider .over').naturalWidth") == 64
    assert "pastiche: a copy of 64 × 48 px, as images/pair-2-" in tab.text("#picture-note")
    assert all("ERR_FILE_NOT_FOUND" in one for one in tab.complaints)


def test_a_large_run_is_shown_page_by_page(tab: Page, output: Output) -> None:
    """Above the threshold rows are paged and thumbnails are files, while filters and sorting cover all rows."""
    tab.complaints.clear()
    tab.open(f"file://{write_report(output.address, most_embedded=10, rows_a_page=4)}")
    tab.wait_for("document.querySelector('.card img').naturalWidth > 0")

    assert "/_nst/thumbs/" in tab.run("document.querySelector('.card img').src")
    assert ids(tab) == PAIRS[:4]
    tab.click("#page-on")
    assert (ids(tab), tab.text("#page-number")) == (PAIRS[4:], "page 2 of 3")
    tab.key("]")
    assert ids(tab) == ["far", "lost", "bad"]
    assert tab.run("document.querySelector('#page-on').disabled")
    tab.choose("#sort", "total_loss")
    tab.click("#direction")
    assert ids(tab) == ["far", "pair-8", "pair-7", "pair-6"]

    # The viewer continues on the next page, and the list follows.
    for _ in range(4):
        tab.key("j")
    tab.key("Enter")
    tab.key("j")
    assert tab.text("#viewer-title") == "pair-5"
    tab.key("Escape")
    tab.wait_for("document.querySelector('#page-number').textContent === 'page 2 of 3'")
    assert ids(tab)[0] == "pair-5"
    assert tab.complaints == []


def test_the_comparison_page_shows_two_runs(tab: Page, tmp_path: Path) -> None:
    """Both images are side by side with the difference of each loss, sortable by it; the slider shows any two sides."""
    tab.complaints.clear()
    for image in ("cat.png", "waves.png"):
        (tmp_path / image).write_bytes(drawing(image))
    outputs = []
    for name, weight in (("light", 10), ("strong", 90)):
        options = StylizeOptions(size_px=64, style_weight=weight)
        manifest = "id,content,style\nx,cat.png,waves.png\ny,waves.png,cat.png\n"
        output = Output(str(tmp_path / name), manifest, str(tmp_path / f"{name}.csv"), options=options)
        output.done("x", total_loss=2.0, content_loss=0.4, style_loss=0.02 if weight == 10 else 0.03)
        output.done("y", total_loss=2.0, content_loss=0.4, style_loss=0.04 if weight == 10 else 0.01)
        outputs.append(output.address)

    tab.open(f"file://{write_comparison(outputs, str(tmp_path / 'compared.html'))}")
    assert ids(tab) == ["x", "y"]
    assert tab.texts("[data-id='x'] figcaption") == ["content", "style", "A", "B"]
    assert "+0.01 (+50.0 %)" in tab.texts("[data-id='x'] .worse")
    assert "-0.03 (-75.0 %)" in tab.texts("[data-id='y'] .better")

    tab.choose("#sort", "2:B")
    assert ids(tab) == ["y", "x"]

    tab.click("[data-id='y'] .trio")
    tab.wait_for("document.querySelector('#picture-note').textContent.match(/the file itself/g)?.length === 2")
    assert [tab.run(f"document.querySelector('#slider .{side}').src").split("/")[-3] for side in ("under", "over")] == [
        *("light", "strong"),
    ]
    tab.choose("#left", "content")
    assert tab.text("#slider .tag.left") == "content"
    tab.key("ArrowRight")
    assert position(tab) == 52.0
    assert tab.complaints == []


def test_a_tiff_that_the_browser_does_not_show_is_named_as_one(page: Page) -> None:
    """A TIFF, as for print, is there, and only not shown: the note does not say that it is out of reach."""
    page.run(
        "slider.show({name: 'content', small: {}},"
        " {name: 'pastiche', small: {source: 'data:,'}, full: 'images/a.tif', size: [64, 48]})"
    )
    page.complaints.clear()

    page.wait_for("document.querySelector('#picture-note').textContent.includes('images/a.tif is a TIFF, which this')")
    page.complaints.clear()
