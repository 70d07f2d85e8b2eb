"use strict";

/**
 * A network computed layer by layer, by convolution.js.
 *
 * Layers are what packing.py describes. Nothing here touches the page.
 */
const network = (() => {
  /** float32 values of all 65,536 float16 numbers. */
  function halves() {
    const table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
      const size = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction ? NaN : Infinity) : (1024 + fraction) * 2 ** (exponent - 25);
      table[bits] = bits & 32768 ? -size : size;
    }
    return table;
  }

  /** Decodes the base64 of all arrays and assigns each layer its arrays; returns the layers. */
  function unpack(layers, weights) {
    const text = atob(weights);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const table = halves();
    return layers.map((layer) => {
      const arrays = {};
      for (const [name, { type, shape, offset, count }] of Object.entries(layer.arrays)) {
        const data = type === "float16"
          ? Float32Array.from(new Uint16Array(bytes.buffer, offset, count), (bits) => table[bits])
          : new Float32Array(bytes.buffer, offset, count);
        arrays[name] = { shape, data };
      }
      return { ...layer, arrays };
    });
  }

  /** CRC-32 of a text in UTF-8, as zlib computes it. */
  function crc32(text) {
    const table = Uint32Array.from({ length: 256 }, (_, byte) => {
      for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
      return byte;
    });
    let sum = 0xffffffff;
    for (const byte of new TextEncoder().encode(text)) sum = table[(sum ^ byte) & 255] ^ (sum >>> 8);
    return (sum ^ 0xffffffff) >>> 0;
  }

  const kernelOf = ({ arrays: { kernel: { shape, data } } }) =>
    ({ height: shape[0], width: shape[1], inputs: shape[2], outputs: shape[3], data });

  /** Settings of a layer's window; the reader's changes take precedence. */
  const movesOf = (layer, change = {}) => ({
    strides: change.strides ?? layer.strides, padding: change.padding ?? layer.padding, dilation: layer.dilation,
    ceilMode: layer.settings.ceil_mode ?? false, countPadding: layer.settings.count_include_pad ?? false,
  });

  const values = (layer, ...names) => Object.fromEntries(names.map((name) => [name, layer.arrays[name].data]));

  function fitting(layer, x, inputs) {
    if (x.data.length !== inputs)
      throw new convolution.GeometryError(`its weights read ${inputs} values, and ${x.data.length} (${x.height}x${x.width}x${x.channels}) come in`);
    return x;
  }

  const flat = (x) => ({ height: 1, width: 1, channels: x.data.length, data: x.data });
  const pooling = (kind) => (layer, [x], change) => convolution.pool(x, kind, layer.window, movesOf(layer, change));

  /** Computation of each kind of layer, from (layer, inputs, the reader's change). */
  const KINDS = {
    conv: (layer, [x], change) =>
      convolution.conv2d(x, kernelOf(layer), { ...movesOf(layer, change), groups: layer.groups, bias: layer.arrays.bias?.data ?? null }),
    max_pool: pooling("max"), avg_pool: pooling("avg"), min_pool: pooling("min"),
    adaptive_avg_pool: (layer, [x]) => convolution.adaptiveAvgPool(x, layer.shape),
    global_avg_pool: (layer, [x]) => convolution.adaptiveAvgPool(x, [1, 1]),
    batch_norm: (layer, [x]) => convolution.batchNorm(x, { ...values(layer, "scale", "bias", "mean", "variance"), eps: layer.settings.eps }),
    group_norm: (layer, [x]) => convolution.groupNorm(x, { ...values(layer, "scale", "bias"), ...layer.settings }),
    layer_norm: (layer, [x]) => convolution.layerNorm(x, { ...values(layer, "scale", "bias"), eps: layer.settings.eps }),
    lrn: (layer, [x]) => convolution.localResponseNorm(x, layer.settings),
    pad: (layer, [x]) => (layer.window ? convolution.pad(x, layer.padding) : convolution.padChannels(x, layer.shape[2])),
    crop: (layer, [x]) => convolution.pad(x, layer.padding, layer.strides),
    scale: (layer, [x]) => { // LeNet-5's has a bias, ConvNeXt's none
      const { coefficient, gamma, bias } = layer.arrays;
      const factors = (coefficient ?? gamma).data;
      return convolution.pointwise(x, (value, c) => value * factors[c] + (bias ? bias.data[c] : 0));
    },
    add: (layer, inputs) => convolution.add(...inputs),
    multiply: (layer, [x, gate]) => convolution.multiply(x, gate),
    concat: (layer, inputs) => convolution.concatenate(...inputs),
    flatten: (layer, [x]) => flat(x),
    dense: (layer, [x]) => convolution.dense(fitting(layer, x, layer.arrays.kernel.shape[0]), layer.arrays.kernel.data, layer.arrays.bias.data),
    rbf: (layer, [x]) => convolution.radialBasis(fitting(layer, x, layer.arrays.prototypes.shape[1]), layer.arrays.prototypes.data),
    dropout: (layer, [x]) => x,
    activation: (layer, [x]) => convolution.activate(x, layer.function),
  };

  /**
   * Computes all layers of one image.
   *
   * changes are {strides, padding} by layers' names. Returns {outputs, fault}: a map for each layer, and where a changed layer no
   * longer fits, {number, message} of it; the layers that depend on it have null.
   */
  function run(layers, image, changes = {}) {
    const outputs = [];
    let fault = null;
    layers.forEach((layer, number) => {
      const inputs = layer.inputs.map((i) => (i < 0 ? image : outputs[i]));
      if (inputs.includes(null)) return outputs.push(null);
      try {
        return outputs.push(KINDS[layer.kind](layer, inputs, changes[layer.name]));
      } catch (error) {
        if (!(error instanceof convolution.GeometryError)) throw error;
        fault ??= { number, message: error.message };
        return outputs.push(null);
      }
    });
    return { outputs, fault };
  }

  /** Image of pixels 0 to 255 with the training images' mean 0 and standard deviation 1, as the network was trained. */
  const normalize = (pixels, mean, std) => convolution.pointwise(pixels, (value, c) => (value - mean[c]) / std[c]);

  /** Views of an image that evaluation averages: shifted by `shift` pixels, and mirrored; the image itself is first. */
  function views(pixels, mirrored, shift) {
    const moves = shift ? [[0, 0], [shift, 0], [-shift, 0], [0, shift], [0, -shift]] : [[0, 0]];
    const seen = moves.map(([down, across]) => convolution.pad(pixels, [[-down, down], [-across, across]]));
    const mirror = (x) => ({ ...x, data: x.data.map((_, i) => {
      const [pixel, c] = [Math.floor(i / x.channels), i % x.channels];
      return x.data[(pixel + x.width - 1 - 2 * (pixel % x.width)) * x.channels + c];
    }) });
    return mirrored ? [...seen, ...seen.map(mirror)] : seen;
  }

  /**
   * Classifies one picture of pixels 0 to 255, of the network's size, as evaluation does.
   *
   * Returns {outputs, fault, image, logits, probabilities}; outputs are of the picture itself, logits the mean over all views.
   */
  function classify({ layers, description: { mean, std }, mirrored, shift }, pixels, changes = {}) {
    const images = views(pixels, mirrored, shift).map((view) => normalize(view, mean, std));
    const [first, ...others] = images.map((image) => run(layers, image, changes));
    const ends = [first, ...others].map(({ outputs }) => outputs.at(-1));
    const logits = ends[0] && Array.from(ends[0].data, (_, i) => ends.reduce((sum, end) => sum + end.data[i], 0) / ends.length);
    return { ...first, image: images[0], logits, probabilities: logits && convolution.softmax(logits) };
  }

  return { unpack, crc32, run, classify, kernelOf, movesOf };
})();

if (typeof module !== "undefined") module.exports = network;
