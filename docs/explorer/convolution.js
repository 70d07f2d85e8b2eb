"use strict";

/**
 * Array functions of convolutional networks, the same as those of cnn_jax.ops.
 *
 * A map is {height, width, channels, data}: values row by row, channels last, in an Array or Float32Array. A kernel is
 * {height, width, inputs, outputs, data}, laid out as in cnn_jax: [height, width, inputs, outputs]. Sizes, strides and
 * dilations are numbers or [height, width] pairs. Nothing here accesses the page, so that Node can load it too.
 */
const convolution = (() => {
  const BORDERS = ["REFLECT", "REPLICATE", "CIRCULAR"];
  const DIALECTS = ["VALID", "SAME", "SAME_LOWER", "TORCH", ...BORDERS];

  /** A window that does not fit its input. */
  class GeometryError extends Error {}

  const pair = (value) => (Array.isArray(value) ? value : [value, value]);

  /** Pixels that a window of `window` taps spans. */
  const effectiveWindow = (window, dilation) => dilation * (window - 1) + 1;

  /**
   * Pixels that a padding dialect adds before and after one axis.
   *
   * padding is a dialect's name, a number, or [low, high].
   */
  function resolvePadding(padding, size, window, stride, dilation) {
    if (typeof padding === "number") return [padding, padding];
    if (Array.isArray(padding)) return padding;
    if (!DIALECTS.includes(padding)) throw new GeometryError(`padding ${padding}: expected one of ${DIALECTS.join(", ")}`);
    if (padding === "VALID") return [0, 0];
    const span = effectiveWindow(window, dilation);
    if (padding === "TORCH") return [Math.floor((span - 1) / 2), Math.floor((span - 1) / 2)];
    const total = Math.max((Math.ceil(size / stride) - 1) * stride + span - size, 0);
    const small = Math.floor(total / 2);
    return padding === "SAME_LOWER" ? [total - small, small] : [small, total - small];
  }

  /**
   * Geometry of a window that moves along one axis.
   *
   * Returns {size, window, stride, dilation, span, low, high, outputs, unread, source}: `unread` lists the places that no window
   * reads, where 0 to size - 1 are the input's pixels and the others padding, and source(p) is the input pixel that stands at place p (from -low on), or -1 for padding of zeros.
   */
  function axis(size, window, stride, padding, dilation = 1, ceilMode = false) {
    const [low, high] = resolvePadding(padding, size, window, stride, dilation);
    const span = effectiveWindow(window, dilation);
    const padded = size + low + high;
    const limit = { REFLECT: size - 1, CIRCULAR: size }[padding];
    if (limit !== undefined && Math.max(low, high) > limit)
      throw new GeometryError(`padding ${padding} of ${Math.max(low, high)} pixels exceeds what ${size} pixels can give (${limit})`);
    if (span > padded)
      throw new GeometryError(`a window of ${span} pixels exceeds its input of ${padded} (${size} and padding ${low} + ${high})`);
    let outputs = Math.floor((padded - span) / stride) + 1;
    if (ceilMode && (padded - span) % stride && outputs * stride < low + size) outputs += 1;
    const source = (place) => {
      if (place >= 0 && place < size) return place;
      if (padding === "REPLICATE") return place < 0 ? 0 : size - 1;
      if (padding === "CIRCULAR") return ((place % size) + size) % size;
      if (padding === "REFLECT") return place < 0 ? -place : 2 * (size - 1) - place;
      return -1;
    };
    const read = new Set();
    for (let output = 0; output < outputs; output++)
      for (let tap = 0; tap < window; tap++) read.add(output * stride + tap * dilation - low);
    const unread = Array.from({ length: padded }, (_, i) => i - low).filter((place) => !read.has(place));
    return { size, window, stride, dilation, span, low, high, outputs, unread, source };
  }

  /** Geometry of a window over both axes of a map: [rows, columns]. padding may be [[top, bottom], [left, right]]. */
  function axes(map, window, { strides = 1, padding = "VALID", dilation = 1, ceilMode = false } = {}) {
    const sides = Array.isArray(padding) ? padding : [padding, padding];
    return [map.height, map.width].map((size, i) =>
      axis(size, pair(window)[i], pair(strides)[i], sides[i], pair(dilation)[i], ceilMode));
  }

  const zeros = (height, width, channels) => ({ height, width, channels, data: new Float32Array(height * width * channels) });

  /** Map of the same shape with each value v replaced by change(v, channel). */
  function pointwise(x, change) {
    const y = zeros(x.height, x.width, x.channels);
    for (let i = 0; i < y.data.length; i++) y.data[i] = change(x.data[i], i % x.channels);
    return y;
  }

  /** Cross-correlation of a map with a kernel, plus a bias for each output channel, as networks compute it. */
  function conv2d(x, kernel, { bias = null, groups = 1, ...moves } = {}) {
    const [rows, columns] = axes(x, [kernel.height, kernel.width], moves);
    const { inputs, outputs } = kernel;
    if (x.channels !== inputs * groups)
      throw new GeometryError(`the kernel reads ${inputs} x ${groups} channels, the map has ${x.channels}`);
    const perGroup = outputs / groups;
    const y = zeros(rows.outputs, columns.outputs, outputs);
    const sums = new Float64Array(outputs);
    for (let row = 0; row < rows.outputs; row++)
      for (let column = 0; column < columns.outputs; column++) {
        for (let o = 0; o < outputs; o++) sums[o] = bias ? bias[o] : 0;
        for (let i = 0; i < kernel.height; i++) {
          const down = rows.source(row * rows.stride + i * rows.dilation - rows.low);
          if (down < 0) continue;
          for (let j = 0; j < kernel.width; j++) {
            const across = columns.source(column * columns.stride + j * columns.dilation - columns.low);
            if (across < 0) continue;
            const pixel = (down * x.width + across) * x.channels;
            for (let c = 0; c < x.channels; c++) {
              const value = x.data[pixel + c];
              if (value === 0) continue;
              const group = Math.floor(c / inputs);
              const weights = ((i * kernel.width + j) * inputs + (c % inputs)) * outputs;
              const end = (group + 1) * perGroup;
              for (let o = group * perGroup; o < end; o++) sums[o] += value * kernel.data[weights + o];
            }
          }
        }
        y.data.set(sums, (row * columns.outputs + column) * outputs);
      }
    return y;
  }

  /**
   * Largest ("max"), smallest ("min") or mean ("avg") value of each window; strides default to the window.
   *
   * Padding is never the largest or smallest value. A mean leaves it out, or counts it as zeros with countPadding; what ceilMode has
   * beyond the padding never counts.
   */
  function pool(x, kind, window, { strides = window, countPadding = false, ...moves } = {}) {
    const [rows, columns] = axes(x, window, { ...moves, strides });
    for (const { low, high, span } of [rows, columns])
      if (Math.max(low, high) >= span) throw new GeometryError(`padding of ${Math.max(low, high)} lets windows of ${span} lie wholly in padding`);
    const y = zeros(rows.outputs, columns.outputs, x.channels);
    const places = (geometry, output) =>
      Array.from({ length: geometry.window }, (_, tap) => output * geometry.stride + tap * geometry.dilation - geometry.low);
    const inside = (geometry) => (place) => place >= 0 && place < geometry.size;
    const counted = (geometry) => (place) => place < geometry.size + geometry.high;
    for (let row = 0; row < rows.outputs; row++)
      for (let column = 0; column < columns.outputs; column++) {
        const [down, across] = [places(rows, row), places(columns, column)];
        const [realDown, realAcross] = [down.filter(inside(rows)), across.filter(inside(columns))];
        if (!realDown.length || !realAcross.length) throw new GeometryError("a window lies wholly in padding; use a smaller dilation or padding");
        const count = countPadding
          ? down.filter(counted(rows)).length * across.filter(counted(columns)).length
          : realDown.length * realAcross.length;
        for (let c = 0; c < x.channels; c++) {
          let best = kind === "max" ? -Infinity : kind === "min" ? Infinity : 0;
          for (const i of realDown)
            for (const j of realAcross) {
              const value = x.data[(i * x.width + j) * x.channels + c];
              if (kind === "max") best = Math.max(best, value);
              else if (kind === "min") best = Math.min(best, value);
              else best += value;
            }
          y.data[(row * columns.outputs + column) * x.channels + c] = kind === "avg" ? best / count : best;
        }
      }
    return y;
  }

  /** scale * (x - mean) / sqrt(variance + eps) + bias, channel by channel. */
  const batchNorm = (x, { scale, bias, mean, variance, eps = 1e-5 }) =>
    pointwise(x, (value, c) => ((value - mean[c]) * scale[c]) / Math.sqrt(variance[c] + eps) + bias[c]);

  const LRN = { size: 5, alpha: 1e-4, beta: 0.75, k: 2, mean: false };

  /** x / (k + alpha * sum of squares over `size` channels around) ^ beta; an even size has its odd channel before. */
  function localResponseNorm(x, settings = {}) {
    const { size, alpha, beta, k, mean } = { ...LRN, ...settings };
    const y = zeros(x.height, x.width, x.channels);
    const before = Math.floor(size / 2);
    const after = size - 1 - before;
    for (let pixel = 0; pixel < x.data.length; pixel += x.channels)
      for (let c = 0; c < x.channels; c++) {
        let sum = 0;
        for (let i = Math.max(c - before, 0); i <= Math.min(c + after, x.channels - 1); i++) sum += x.data[pixel + i] ** 2;
        y.data[pixel + c] = x.data[pixel + c] / (k + (mean ? alpha / size : alpha) * sum) ** beta;
      }
    return y;
  }

  /** Group norm: mean 0 and variance 1 over all positions of each group of channels; then scale and bias by channel. */
  function groupNorm(x, { scale, bias, groups, eps = 1e-5 }) {
    const perGroup = x.channels / groups;
    const count = x.height * x.width * perGroup;
    const group = (i) => Math.floor((i % x.channels) / perGroup);
    const [means, variances] = [new Float64Array(groups), new Float64Array(groups)];
    for (let i = 0; i < x.data.length; i++) means[group(i)] += x.data[i] / count;
    for (let i = 0; i < x.data.length; i++) variances[group(i)] += (x.data[i] - means[group(i)]) ** 2 / count;
    return pointwise(x, (value, c) => {
      const g = Math.floor(c / perGroup);
      return ((value - means[g]) / Math.sqrt(variances[g] + eps)) * scale[c] + bias[c];
    });
  }

  /** Layer norm: mean 0 and variance 1 over the channels of each position; then scale and bias by channel. */
  function layerNorm(x, { scale, bias, eps = 1e-6 }) {
    const y = zeros(x.height, x.width, x.channels);
    for (let pixel = 0; pixel < x.data.length; pixel += x.channels) {
      let [mean, variance] = [0, 0];
      for (let c = 0; c < x.channels; c++) mean += x.data[pixel + c] / x.channels;
      for (let c = 0; c < x.channels; c++) variance += (x.data[pixel + c] - mean) ** 2 / x.channels;
      for (let c = 0; c < x.channels; c++) y.data[pixel + c] = ((x.data[pixel + c] - mean) / Math.sqrt(variance + eps)) * scale[c] + bias[c];
    }
    return y;
  }

  /** Map padded with zeros where pads [[top, bottom], [left, right]] are positive, and cropped where they are negative. */
  function pad(x, [[top, bottom], [left, right]], strides = 1) {
    const [down, across] = pair(strides);
    const [height, width] = [Math.ceil((x.height + top + bottom) / down), Math.ceil((x.width + left + right) / across)];
    if (height < 1 || width < 1) throw new GeometryError(`a map of ${x.height}x${x.width} is too small for its cut`);
    const y = zeros(height, width, x.channels);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const [i, j] = [row * down - top, column * across - left];
        if (i < 0 || j < 0 || i >= x.height || j >= x.width) continue;
        const from = (i * x.width + j) * x.channels;
        y.data.set(x.data.slice(from, from + x.channels), (row * width + column) * x.channels);
      }
    return y;
  }

  /** Map with more channels, the new ones zeros. */
  function padChannels(x, channels) {
    const y = zeros(x.height, x.width, channels);
    for (let i = 0; i < x.data.length; i++) y.data[Math.floor(i / x.channels) * channels + (i % x.channels)] = x.data[i];
    return y;
  }

  /** Means over windows that divide a map of any size into a grid of [height, width]; neighbours overlap if sizes do not divide. */
  function adaptiveAvgPool(x, [height, width]) {
    const y = zeros(height, width, x.channels);
    const span = (output, outputs, size) => [Math.floor((output * size) / outputs), Math.ceil(((output + 1) * size) / outputs)];
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const [[top, bottom], [left, right]] = [span(row, height, x.height), span(column, width, x.width)];
        for (let c = 0; c < x.channels; c++) {
          let sum = 0;
          for (let i = top; i < bottom; i++) for (let j = left; j < right; j++) sum += x.data[(i * x.width + j) * x.channels + c];
          y.data[(row * width + column) * x.channels + c] = sum / ((bottom - top) * (right - left));
        }
      }
    return y;
  }

  /** Minus the squared distance of a map's values to each of some prototypes [units, values]. */
  function radialBasis(x, prototypes) {
    const inputs = x.data.length;
    const y = zeros(1, 1, prototypes.length / inputs);
    for (let unit = 0; unit < y.channels; unit++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += (x.data[i] - prototypes[unit * inputs + i]) ** 2;
      y.data[unit] = -sum;
    }
    return y;
  }

  const sigmoid = (value) => 1 / (1 + Math.exp(-value));

  const relu6 = (value) => Math.min(Math.max(value, 0), 6);

  const hardSigmoid = (value) => relu6(value + 3) / 6;

  /**
   * Error function, to 1e-15.
   *
   * Source: Abramowitz and Stegun, "Handbook of mathematical functions", 1964, equation 7.1.6, whose terms are of one sign.
   */
  function erf(value) {
    if (Math.abs(value) >= 6) return Math.sign(value); // which is 2e-17 off
    let term = value;
    let sum = value;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * value * value) / (2 * n + 1);
      sum += term;
    }
    return ((2 / Math.sqrt(Math.PI)) * Math.exp(-value * value)) * sum;
  }

  /** Activation functions, by cnn_jax's names for them. */
  const ACTIVATIONS = {
    relu: (value) => Math.max(value, 0),
    relu6,
    tanh: Math.tanh,
    scaled_tanh: (value) => 1.7159 * Math.tanh((2 / 3) * value),
    sigmoid,
    hard_sigmoid: hardSigmoid,
    gelu: (value) => 0.5 * value * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3))),
    gelu_exact: (value) => 0.5 * value * (1 + erf(value / Math.SQRT2)),
    silu: (value) => value * sigmoid(value),
    hard_swish: (value) => value * hardSigmoid(value),
    leaky_relu: (value) => (value >= 0 ? value : 0.01 * value),
    elu: (value) => (value > 0 ? value : Math.expm1(value)),
    identity: (value) => value,
  };

  const activate = (x, name) => pointwise(x, ACTIVATIONS[name]);

  const relu = (x) => pointwise(x, (value) => Math.max(value, 0));

  /** Values of a map times weights [values, outputs], plus a bias: a map of one pixel. */
  function dense(x, weights, bias = null) {
    const inputs = x.data.length;
    const outputs = weights.length / inputs;
    const sums = new Float64Array(outputs);
    if (bias) sums.set(bias);
    for (let i = 0; i < inputs; i++) {
      const value = x.data[i];
      if (value === 0) continue;
      for (let o = 0; o < outputs; o++) sums[o] += value * weights[i * outputs + o];
    }
    return { height: 1, width: 1, channels: outputs, data: Float32Array.from(sums) };
  }

  const sameSize = (maps) => {
    if (maps.some((map) => map.height !== maps[0].height || map.width !== maps[0].width))
      throw new GeometryError(`maps of ${maps.map((map) => `${map.height}x${map.width}`).join(" and ")} do not fit together`);
  };

  /** Elementwise sum of maps of one shape. */
  function add(...maps) {
    sameSize(maps);
    if (maps.some((map) => map.channels !== maps[0].channels)) throw new GeometryError("maps of different channels cannot be added");
    const y = pointwise(maps[0], (value) => value);
    for (const map of maps.slice(1)) for (let i = 0; i < y.data.length; i++) y.data[i] += map.data[i];
    return y;
  }

  /** Map times a gate of one pixel: a factor for each channel. */
  function multiply(x, gate) {
    if (gate.height !== 1 || gate.width !== 1 || gate.channels !== x.channels)
      throw new GeometryError(`a gate of ${gate.height}x${gate.width}x${gate.channels} does not fit ${x.channels} channels`);
    return pointwise(x, (value, c) => value * gate.data[c]);
  }

  /** Channels of several maps of one size, one after another. */
  function concatenate(...maps) {
    sameSize(maps);
    const y = zeros(maps[0].height, maps[0].width, maps.reduce((sum, map) => sum + map.channels, 0));
    let first = 0;
    for (const map of maps) {
      for (let pixel = 0; pixel < map.height * map.width; pixel++)
        for (let c = 0; c < map.channels; c++) y.data[pixel * y.channels + first + c] = map.data[pixel * map.channels + c];
      first += map.channels;
    }
    return y;
  }

  /** Probabilities of logits. */
  function softmax(logits) {
    const largest = Math.max(...logits);
    const exponentials = Array.from(logits, (logit) => Math.exp(logit - largest));
    const sum = exponentials.reduce((total, value) => total + value, 0);
    return exponentials.map((value) => value / sum);
  }

  /**
   * Pixels of every earlier map that one pixel of the last map depends on.
   *
   * layers are {window, stride, padding, dilation}, first layer first, along one axis of `size` pixels; pixel is one of the last map's.
   * Returns {size, low, high} for each map, the input first: low to high (inclusive) may reach into padding.
   */
  function receptiveField(size, layers, pixel) {
    const geometries = [];
    for (const { window, stride, padding, dilation = 1 } of layers) {
      const geometry = axis(geometries.length ? geometries.at(-1).outputs : size, window, stride, padding, dilation);
      geometries.push(geometry);
    }
    const fields = [{ size: geometries.length ? geometries.at(-1).outputs : size, low: pixel, high: pixel }];
    for (const geometry of geometries.reverse()) {
      const { low, high } = fields[0];
      fields.unshift({
        size: geometry.size,
        low: low * geometry.stride - geometry.low,
        high: high * geometry.stride - geometry.low + geometry.span - 1,
      });
    }
    return fields;
  }

  return {
    DIALECTS, BORDERS, LRN, GeometryError, effectiveWindow, resolvePadding, axis, axes, conv2d, pool, batchNorm, groupNorm, layerNorm, localResponseNorm,
    relu, erf, ACTIVATIONS, activate, pointwise, pad, padChannels, adaptiveAvgPool, radialBasis, dense, add, multiply, concatenate,
    softmax, receptiveField,
  };
})();

if (typeof module !== "undefined") module.exports = convolution;
