"use strict";

/** A unit of a network: the pixels that it depends on, and the products that sum to its value. */
const units = (() => {
  /** First and last image pixel that positions low to high along an axis read; null if all are padding. */
  function read(axis, first, last) {
    const seen = [];
    for (let output = first; output <= last; output++)
      for (let tap = 0; tap < axis.window; tap++) {
        const pixel = axis.source(output * axis.stride + tap * axis.dilation - axis.low);
        if (pixel >= 0 && pixel < axis.size) seen.push(pixel);
      }
    return seen.length ? [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))] : null;
  }

  const clip = ([low, high], size) => {
    const cut = [Math.max(low, 0), Math.min(high, size - 1)];
    return cut[0] <= cut[1] ? cut : null;
  };

  const WHOLE = ["flatten", "dense", "rbf", "global_avg_pool", "adaptive_avg_pool", "group_norm"];

  /** Box of a layer's input that a box {rows, columns} of its output depends on; null for none. */
  function before(layer, input, box, change) {
    const gate = layer.kind === "multiply" && input.height * input.width === 1;
    if (gate || WHOLE.includes(layer.kind)) return { rows: [0, input.height - 1], columns: [0, input.width - 1] };
    let [rows, columns] = [box.rows, box.columns];
    if (layer.kind === "pad" || layer.kind === "crop") {
      if (layer.window) {
        const move = ([low, high], axis, size) =>
          clip([low * layer.strides[axis] - layer.padding[axis][0], high * layer.strides[axis] - layer.padding[axis][0]], size);
        [rows, columns] = [move(rows, 0, input.height), move(columns, 1, input.width)];
      }
    } else if (layer.window) {
      const axes = convolution.axes(input, layer.window, network.movesOf(layer, change));
      [rows, columns] = [read(axes[0], ...rows), read(axes[1], ...columns)];
    }
    return rows && columns ? { rows, columns } : null;
  }

  const union = (a, b) => {
    if (!a || !b) return a ?? b;
    const wide = (p, q) => [Math.min(p[0], q[0]), Math.max(p[1], q[1])];
    return { rows: wide(a.rows, b.rows), columns: wide(a.columns, b.columns) };
  };

  /**
   * Receptive field of a unit: box {rows, columns} of every earlier map, by layer number, that it depends on; -1 is the image.
   */
  function receptiveField(layers, found, unit, changes) {
    const boxes = new Map([[unit.layer, { rows: [unit.row, unit.row], columns: [unit.column, unit.column] }]]);
    for (let number = unit.layer; number >= 0; number--) {
      const box = boxes.get(number);
      if (!box) continue;
      for (const input of layers[number].inputs) {
        const map = input < 0 ? found.image : found.outputs[input];
        boxes.set(input, union(boxes.get(input), before(layers[number], map, box, changes[layers[number].name])));
      }
    }
    return boxes;
  }

  /**
   * Window of a unit of a convolution or pooling: rows of {value, weight, product, padding}; of a convolution for one input channel
   * of its group, numbered from 0.
   */
  function windowOf(layer, input, unit, channel, change) {
    const [rows, columns] = convolution.axes(input, layer.window, network.movesOf(layer, change));
    const kernel = layer.kind === "conv" ? network.kernelOf(layer) : null;
    const first = kernel ? Math.floor(unit.channel / (kernel.outputs / layer.groups)) * kernel.inputs : 0;
    return Array.from({ length: rows.window }, (_, i) => Array.from({ length: columns.window }, (__, j) => {
      const down = rows.source(unit.row * rows.stride + i * rows.dilation - rows.low);
      const across = columns.source(unit.column * columns.stride + j * columns.dilation - columns.low);
      const real = down >= 0 && across >= 0 && down < input.height && across < input.width;
      const at = kernel ? first + channel : unit.channel;
      const value = real ? input.data[(down * input.width + across) * input.channels + at] : 0;
      const weight = kernel ? kernel.data[((i * kernel.width + j) * kernel.inputs + channel) * kernel.outputs + unit.channel] : null;
      return { value, weight, product: kernel ? value * weight : null, padding: !real };
    }));
  }

  /** Sum of the products of each input channel of a convolution's unit. */
  function sums(layer, input, unit, change) {
    const { inputs } = network.kernelOf(layer);
    return Array.from({ length: inputs }, (_, channel) =>
      windowOf(layer, input, unit, channel, change).flat().reduce((sum, { product }) => sum + product, 0));
  }

  /** Products of a dense unit, the largest first: {input, value, weight, product}. */
  function products(layer, input, unit) {
    const { data, shape } = layer.arrays.kernel;
    return Array.from(input.data, (value, i) => {
      const weight = data[i * shape[1] + unit.channel];
      return { input: i, value, weight, product: value * weight };
    }).sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  }

  return { receptiveField, windowOf, sums, products };
})();

if (typeof module !== "undefined") module.exports = units;
