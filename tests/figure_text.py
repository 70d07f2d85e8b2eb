"""Whether a figure can be seen whole."""

from matplotlib.backends.backend_agg import FigureCanvasAgg


def check_text_inside(figure):
    """Draws a figure; all that it draws, labels included, lies within it."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, (width, height) = figure.get_tightbbox(canvas.get_renderer()), figure.get_size_inches()
    margin = 0.02  # inches
    assert box.x0 >= -margin
    assert box.y0 >= -margin
    assert box.x1 <= width + margin
    assert box.y1 <= height + margin
