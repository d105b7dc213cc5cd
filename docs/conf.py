"""Sphinx configuration for ``make docs``, which builds the pages in this folder and the API reference."""

from pathlib import Path

from sphinx.ext.napoleon.docstring import GoogleDocstring

import celeba_lab

project = "celeba_lab"
author = "celeba_lab contributors"
version = release = celeba_lab.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "celeba_lab"
myst_heading_anchors = 3
highlight_language = "none"  # Most code blocks are commands. Python blocks are marked as such.

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Lightning's own documentation describes the overridden hooks.
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_use_rtype = False  # The signature already shows the return type.

# All references to names in this package must resolve. Names in other libraries are not linked.
nitpicky = True
_LIBRARIES = (
    "ast|collections|concurrent|contextlib|ctypes|datetime|hydra|lightning|matplotlib|np|numpy|omegaconf|pandas"
    "|pathlib|pd|PIL|rich|sklearn|subprocess|torch|types"
)
nitpick_ignore_regex = [
    ("py:.*", rf"({_LIBRARIES})\..*"),
    # Imported only for type checking.
    ("py:class", r"DictConfig|ListConfig|Event|Figure|SummaryWriter|TensorBoardLogger|Study|FrozenTrial|T"),
    ("py:class", r"Dataset|Sampler|_T_co|_collate_fn_t|_worker_init_fn_t"),  # Inherited from torch's DataLoader.
    ("py:class", r"celeba_lab\..*\._\w+|celeba_lab\..*\.[A-Z]"),  # Private types.
    ("py:class", r"(dict|tuple|list)\[\w+"),  # Types in quotes, which Sphinx splits at commas.
    ("py:class", r"[a-z0-9 ]+|[A-Z]"),  # Types and shapes in "Returns:", such as float32 (B, K).
]


_partition = GoogleDocstring._partition_field_on_colon


def partition_field_on_colon(docstring: GoogleDocstring, line: str) -> tuple[str, str, str]:
    """Split a docstring line at its colon into a name or type and a description, unless the line is a sentence."""
    before, colon, after = _partition(docstring, line)
    is_sentence = " " in before and not before.endswith(")")
    return (line, "", "") if is_sentence else (before, colon, after)


# By default, Napoleon interprets the beginning of "A colour: R, G, B" as a type. There is no setting to change this.
GoogleDocstring._partition_field_on_colon = partition_field_on_colon


def write_api_pages(folder: Path) -> None:
    """Write an API page for each package, and an index page. The pages are generated, so they are not in git."""
    folder.mkdir(exist_ok=True)
    root = Path(celeba_lab.__file__).parent
    names = []
    for package in sorted({path.parent for path in root.rglob("*.py")}):
        name = ".".join(package.relative_to(root.parent).parts)
        text = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"
        for module in sorted(path.stem for path in package.glob("[!_]*.py")):
            text += f"\n## {module}\n\n```{{eval-rst}}\n.. automodule:: {name}.{module}\n   :members:\n```\n"
        (folder / f"{name}.md").write_text(text)
        names.append(name)
    (folder / "index.md").write_text("\n".join(["# Reference", "", "```{toctree}", *names, "```", ""]))


write_api_pages(Path(__file__).parent / "api")
