"""Parts of a report's page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects the sections, pictures and links of a page."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.pictures, self.targets = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "section":
            self.sections.append(values["id"])
        if tag == "img":
            self.pictures.append(values)
        self.targets += [values[key] for key in ("src", "href") if values.get(key)]
