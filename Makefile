# From nothing, on a machine with Python 3.11 or newer and make:
#
#   make demo      the whole path on built-in drawings, into out/demo
#   make studio    label parts of these drawings in your browser
#   make test      all tests
#
# Both make an environment in .venv first. Others: docs, lint, bench, together, faults, fuzz, images, clean;
# test-oldest (some tests with the oldest versions allowed), sbom (what the wheel brings, as
# CycloneDX).
# PYTHON is the interpreter to begin with, VENV the environment's folder; COUNT and SEED are fuzz's.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
LABELS ?= out/labels
COUNT ?= 100000
SEED ?= 1

PY = $(VENV)/bin/python
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: demo studio test together test-oldest sbom docs lint bench faults fuzz images clean

demo: $(VENV)/.installed-demo
	$(VENV)/bin/explgraph demo --out $(OUT)

# Heads and tails of the demo's drawings, on a page in the browser; the labels stay in out/labels.
studio: $(VENV)/.installed-studio
	test -f $(OUT)/graph.safetensors || $(VENV)/bin/explgraph demo --out $(OUT)
	$(VENV)/bin/explgraph studio $(OUT)/unseen --graph $(OUT)/graph.safetensors \
	  --model explgraph.demo:network --parts head,tail --out $(LABELS)

test: $(VENV)/.installed-test
	$(PY) -m pytest -q -n auto --maxprocesses 4 --dist worksteal

# The long form of tests/together: threads, processes, interrupts and repeats, a quarter of an hour.
together: $(VENV)/.installed-test
	EXPLGRAPH_TOGETHER=10 $(PY) -m pytest -q tests/together tests/engines tests/aog/test_company.py

# What each dependency is used for, in little time; old packages may warn of new ones.
OLDEST = tests/cli/test_app.py tests/cli/test_graphs.py tests/test_export.py tests/test_estimator.py \
  tests/drawing/test_rendering.py tests/drawing/test_thumbnails.py tests/report/test_writing.py \
  tests/base/test_files.py tests/base/test_json_text.py tests/graphs/test_graph.py tests/photos \
  tests/networks/test_backbone.py tests/peaks/test_extraction.py tests/mining/test_mine.py \
  tests/aog/test_fitting.py tests/aog/test_inference.py

test-oldest: $(VENV)-oldest/.installed
	$(VENV)-oldest/bin/python -m pytest -q -o filterwarnings= -n auto --maxprocesses 4 $(OLDEST)

$(VENV)-oldest/.installed: pyproject.toml constraints/oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -e . \
	  -c constraints/oldest.txt hypothesis pytest pytest-benchmark pytest-xdist setuptools
	touch $@

# An environment with the wheel and what it needs, looked at from outside.
sbom:
	rm -rf build/sbom dist/explgraph.cdx.json
	$(PYTHON) -m venv build/sbom/tools
	build/sbom/tools/bin/python -m pip install --quiet --disable-pip-version-check build cyclonedx-bom
	build/sbom/tools/bin/python -m build --wheel --outdir build/sbom .
	$(PYTHON) -m venv --without-pip build/sbom/env
	build/sbom/tools/bin/python -m pip --python build/sbom/env/bin/python install --quiet build/sbom/*.whl
	mkdir -p dist
	build/sbom/tools/bin/cyclonedx-py environment --validate --output-reproducible \
	  --pyproject pyproject.toml --output-file dist/explgraph.cdx.json build/sbom/env/bin/python
	rm -rf build/sbom

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The documentation site, into out/site; a warning is an error.
docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet --site-dir out/site

bench: $(VENV)/.installed-test
	$(PY) -m pytest -q -o addopts= --benchmark-only tests/bench
	$(PY) -m tests.bench.ratios --out out/bench.json

# Kills, full and failing disks, too little memory, at some thousand moments: about half an hour on
# two cores. Goes on where it was interrupted.
faults: $(VENV)/.installed-test
	$(PY) -m tests.faults --out out/faults

# Changed files for all readers; an interrupted run goes on. Where atheris is installed (it has wheels
# for Linux alone, so that no extra asks for it), it searches by coverage as well.
fuzz: $(VENV)/.installed-test
	EXPLGRAPH_FUZZ_EXAMPLES=100 $(PY) -m pytest -q tests/fuzz/test_round_trips.py
	$(PY) -m tests.fuzz --count $(COUNT) --seed $(SEED) --atheris 5000 --journal out/fuzz.json

# README's and the site's pictures, from the demo's. Needs Chromium.
images: demo $(VENV)/.installed-test
	cp $(OUT)/graph.svg $(OUT)/thumbnails.svg docs/images/
	$(PY) docs/make_part_images.py $(OUT)
	$(PY) docs/make_doc_images.py $(OUT)
	$(PY) docs/make_report_image.py $(OUT)
	$(PY) docs/make_studio_image.py $(OUT)
	$(PY) docs/make_explanation_images.py $(OUT)
	$(PY) docs/make_texture_pages.py $(OUT)

clean:
	rm -rf build dist out *.egg-info

# An extra is installed once for each state of pyproject.toml. The demo needs none.
$(VENV)/.installed-demo: pyproject.toml | $(PY)
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-%: pyproject.toml | $(PY)
	$(INSTALL) -e ".[$*]"
	touch $@

$(PY):
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'explgraph needs Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Name another with: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)
