"""Whether the text of a figure can be read whole."""

from matplotlib.backends.backend_agg import FigureCanvasAgg


def check_text_inside(figure):
    """Draws a figure; all its text lies within it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and artist.get_text()):
        if text.get_visible():
            box = text.get_window_extent(canvas.get_renderer())
            assert box.x0 >= -1, text
            assert box.y0 >= -1, text
            assert box.x1 <= width + 1, text
            assert box.y1 <= height + 1, text
