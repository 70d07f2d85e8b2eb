"use strict";

/** Pictures brought to a network's size and colours as `launch.py predict` does it. */
const picture = (() => {
  /** Pictures to start from: values at (y, x), from -0.5 to 0.5, of a channel. */
  const PRESETS = {
    "nothing": () => 0,
    "a ring": (y, x) => (Math.abs(Math.hypot(y, x) - 0.28) < 0.08 ? 255 : 0),
    "a cross": (y, x) => (Math.min(Math.abs(y), Math.abs(x)) < 0.09 && Math.max(Math.abs(y), Math.abs(x)) < 0.4 ? 255 : 0),
    "a shirt": (y, x) => ((Math.abs(x) < 0.2 && Math.abs(y) < 0.4) || (Math.abs(x) < 0.42 && y > -0.4 && y < -0.12) ? 200 : 0),
    "trousers": (y, x) => (Math.abs(y) < 0.44 && Math.abs(x) < 0.22 && (y < -0.22 || Math.abs(x) > 0.05) ? 200 : 0),
    "a ramp": (y, x, c) => Math.round(255 * (c === 1 ? y + 0.5 : x + 0.5)),
    "stripes": (y) => (Math.floor((y + 0.5) * 8) % 2 ? 255 : 0),
  };

  /** Weights of an antialiased bilinear resize along one axis, as Pillow has them: [first pixel, weights] of each output pixel. */
  function shares(low, high, size, outputs) {
    const scale = (high - low) / outputs;
    const reach = Math.max(scale, 1);
    return Array.from({ length: outputs }, (_, output) => {
      const centre = low + (output + 0.5) * scale;
      const first = Math.max(Math.floor(centre - reach + 0.5), 0);
      const last = Math.min(Math.floor(centre + reach + 0.5), size);
      const weights = Array.from({ length: last - first }, (__, i) => Math.max(1 - Math.abs((first + i - centre + 0.5) / reach), 0));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      return [first, weights.map((weight) => weight / sum)];
    });
  }

  const byte = (value) => Math.min(Math.max(Math.round(value), 0), 255);

  /** Part of a map {left, top, right, bottom} resized to height x width; columns first, rounded to whole numbers, as Pillow does. */
  function resize(x, height, width, box = { left: 0, top: 0, right: x.width, bottom: x.height }) {
    const [columns, rows] = [shares(box.left, box.right, x.width, width), shares(box.top, box.bottom, x.height, height)];
    const narrow = new Float32Array(x.height * width * x.channels);
    for (let row = 0; row < x.height; row++)
      columns.forEach(([first, weights], column) => {
        for (let c = 0; c < x.channels; c++) {
          let sum = 0;
          weights.forEach((weight, i) => { sum += weight * x.data[(row * x.width + first + i) * x.channels + c]; });
          narrow[(row * width + column) * x.channels + c] = byte(sum);
        }
      });
    const data = new Float32Array(height * width * x.channels);
    const line = width * x.channels;
    rows.forEach(([first, weights], row) => {
      for (let at = 0; at < line; at++) {
        let sum = 0;
        weights.forEach((weight, i) => { sum += weight * narrow[(first + i) * line + at]; });
        data[row * line + at] = byte(sum);
      }
    });
    return { height, width, channels: x.channels, data };
  }

  /** Grey or RGB map of RGBA bytes; what is transparent is laid on white, grey is made by ITU-R 601. */
  function fromBytes(bytes, height, width, channels) {
    const data = new Float32Array(height * width * channels);
    for (let pixel = 0; pixel < height * width; pixel++) {
      const opacity = bytes[pixel * 4 + 3] / 255;
      const colour = [0, 1, 2].map((c) => byte(bytes[pixel * 4 + c] * opacity + 255 * (1 - opacity)));
      if (channels === 1) data[pixel] = Math.floor((colour[0] * 19595 + colour[1] * 38470 + colour[2] * 7471 + 32768) / 65536);
      else data.set(colour, pixel * 3);
    }
    return { height, width, channels, data };
  }

  /** A picture at the network's size: whole, or with crop [side, shorter side] its middle after resizing the shorter side. */
  function fit(x, [height, width], crop) {
    if (!crop) return x.height === height && x.width === width ? x : resize(x, height, width);
    const half = Math.max(Math.round(((Math.min(x.width, x.height) * crop[0]) / crop[1] / 2) * 64), 1) / 64;
    const [across, down] = [x.width / 2, x.height / 2];
    return resize(x, height, width, { left: across - half, right: across + half, top: down - half, bottom: down + half });
  }

  /** Reads a picture file; rejects where this browser cannot. */
  async function read(file, [height, width, channels], crop) {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return fit(fromBytes(data, bitmap.height, bitmap.width, channels), [height, width], crop);
  }

  return { PRESETS, resize, fromBytes, fit, read };
})();

if (typeof module !== "undefined") module.exports = picture;
