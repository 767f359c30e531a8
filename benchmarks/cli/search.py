"""``pml-aug search``: the nearest images of a query among embedded ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .arguments import Parser, add_model

if TYPE_CHECKING:
    from ..models.answers import Answer

ON_PAGE = 100  # queries


def main(argv: Sequence[str]) -> int:
    """Search, print a table, and write the page."""
    parser = Parser(
        prog="pml-aug search",
        description="Find the images that are most similar to a query, among those that `embed` has embedded with the "
        "same model.",
        epilog="example: pml-aug search runs/64afad6c48a7 --index photographs.npz --query cat.jpg --page cat.html",
    )
    add_model(parser)
    parser.add_argument("--index", type=Path, required=True, metavar="FILE", help="what `embed` wrote")
    parser.add_argument(
        "--query", type=Path, required=True, nargs="+", metavar="IMAGE", help="images; or one folder or npz file"
    )
    parser.add_argument("--count", type=int, default=10, metavar="K", help="images to find per query (default: 10)")
    parser.add_argument(
        "--approximate", action="store_true", help="search a graph (HNSW) and measure its recall against exact search"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write queries and what was found, as HTML")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where the embedded images are now, if moved")
    parser.add_argument("--faiss", type=Path, metavar="FILE", help="write the index, for faiss.read_index")
    given = parser.parse_args(argv)
    if given.count < 1:
        parser.error(f"--count must be at least 1, but got {given.count}")

    # these load torch and faiss, which takes seconds
    import faiss
    import numpy as np

    from ..models import load_model
    from ..models.answers import answers
    from ..models.embed import read_embeddings
    from ..models.inputs import pictures_at, queries_of
    from ..models.page import search_page
    from ..models.search import approximate_index, exact_index, measured_recall
    from ..runs.writer import write_whole

    model = load_model(given.run, given.allow, given.device)
    try:
        indexed = read_embeddings(given.index)
    except (OSError, ValueError) as error:
        raise UserError(f"--index: {error}") from error
    if indexed.provenance["model"]["sha256"] != model.description.sha256:
        raise UserError(
            f"{given.index} was embedded by another model (run {indexed.provenance['model']['run']}), whose embeddings "
            "cannot be compared with this one's: embed the images with this one, or search with that one"
        )
    queries = queries_of(given.query, model)
    index = approximate_index(indexed.embeddings) if given.approximate else exact_index(indexed.embeddings)
    facts = [f"model {model.description.run} ({model.description.loss}, {model.description.method})"]
    facts.append(f"{len(indexed.names):,} images of {indexed.source}")
    if given.approximate:
        measured = measured_recall(index, indexed.embeddings, given.count)
        facts.append(
            f"approximate (HNSW): recall@{given.count} {measured.recall:.3f} of {measured.queries:,} queries, "
            f"{1e3 * measured.approximate_seconds:.3f} ms a query (exact: {1e3 * measured.exact_seconds:.3f} ms)"
        )
    else:
        facts.append("exact search")
    picture = pictures_at(given.images or indexed.source, indexed.names)

    shown: list[Answer] = []
    pictured = 0 if given.page is None else ON_PAGE
    for answer in answers(model, queries, indexed, index, given.count, picture, pictured):
        print(_table(answer))
        if len(shown) < pictured:
            shown.append(answer)
    print("; ".join(facts))
    if given.page is not None:
        page = search_page(shown, facts, len(queries.names) - len(shown))
        write_whole(given.page, page.encode())
        print(f"page: {given.page}")
    if given.faiss is not None:
        write_whole(given.faiss, np.asarray(faiss.serialize_index(index)).tobytes())
        print(f"faiss index: {given.faiss}; row i is entry i of `names` in {given.index}")
    return 0


def _table(answer: "Answer") -> str:
    """The answer to one query, in lines."""
    from ..models.page import printable

    known = answer.query.uncertainty
    lines = [printable(answer.query.name) + ("" if known is None else f"  (uncertainty {known:.3f})")]
    for rank, found in enumerate(answer.found, start=1):
        more = "" if found.uncertainty is None else f"  (uncertainty {found.uncertainty:.3f})"
        lines.append(f"  {rank:>3}  {found.similarity:.4f}  {printable(found.name)}{more}")
    return "\n".join(lines)
