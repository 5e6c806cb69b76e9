"""Write docs/reference: `python -m tools.reference`, from the repository's root."""

from tools.reference.pages import render_all

if __name__ == "__main__":
    for path, text in render_all().items():
        path.write_text(text)
