"""tf.data over files: only the crop is decoded, then resized and flipped; --antialias filters as Pillow does."""

import loader_turn
import tensorflow as tf

parser = loader_turn.parser(__doc__)
parser.add_argument("--antialias", action="store_true", help="of the resizing; by default TensorFlow has none")
options = loader_turn.started(parser.parse_args())
paths, labels = loader_turn.files(options.pictures)


def view(path, label):
    """Reads a random part of a picture, as bytes."""
    content = tf.io.read_file(path)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(content),
        tf.zeros((1, 0, 4)),
        area_range=loader_turn.AREA,
        aspect_ratio_range=loader_turn.ASPECT,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
        min_object_covered=0.0,
    )
    window = tf.concat([begin[:2], size[:2]], axis=0)
    image = tf.image.decode_and_crop_jpeg(content, window, channels=3)
    image = tf.image.resize(image, (loader_turn.SIDE, loader_turn.SIDE), antialias=options.antialias)
    return tf.cast(tf.image.random_flip_left_right(image), tf.uint8), label


data = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths)).repeat()
data = data.map(view, num_parallel_calls=options.cores).batch(options.batch_size).prefetch(2)
settings = tf.data.Options()
settings.threading.private_threadpool_size = options.cores
loader_turn.end(options, data.with_options(settings).as_numpy_iterator(), f"tensorflow {tf.__version__}")
