"use strict";

/** Examples of the explorer: settings that differ from `base`, and a description. */
const presets = (() => {
  const base = {
    operation: "conv", kernel: [[1, 0, -1], [1, 0, -1], [1, 0, -1]], window: [2, 2], padding: "VALID", strides: [1, 1], dilation: 1,
    flip: false, ceilMode: false, countPadding: false,
  };
  const picture = [
    [1, 2, 3, 1, 3, 5], [2, 2, 5, 4, 2, 5], [0, 6, 9, 6, 2, 2], [2, 0, 1, 9, 4, 0], [5, 5, 4, 6, 7, 6], [6, 1, 3, 7, 1, 5],
  ];
  const grey = [
    [18, 54, 51, 239, 244, 188], [55, 121, 75, 78, 95, 88], [35, 24, 204, 113, 109, 221], [3, 154, 104, 235, 25, 130],
    [15, 253, 225, 159, 78, 233], [68, 85, 180, 214, 245, 0],
  ];
  const practice = [
    [0, 0, 1, 2, 1, 0, 0], [0, 1, 3, 3, 2, 0, 0], [1, 3, 0, 0, 3, 1, 0], [2, 3, 0, 0, 0, 3, 2], [2, 3, 3, 3, 3, 3, 2],
    [2, 3, 0, 0, 0, 3, 2], [2, 3, 0, 0, 0, 3, 2], [1, 1, 0, 0, 0, 1, 1],
  ];
  const count = (height, width) => Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => i * width + j + 1));
  const ones = (height, width) => Array.from({ length: height }, () => Array(width).fill(1));
  const pooling = { operation: "max", strides: [2, 2] };
  return {
    base,
    examples: [
      { id: "window", title: "One window: 429", values: grey, kernel: [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        story: "Each weight is multiplied by the pixel under it, and the products are summed: 18 + 51 + 121 + 35 + 204 = 429." },
      { id: "binary", title: "Zeros and ones: 5x5 gives 3x3", kernel: [[1, 0, 1], [0, 1, 0], [1, 0, 1]],
        values: [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]],
        story: "Five weights are one: each output counts the ones under them, 4 in the first window." },
      { id: "impulse", title: "A single one shows the rotated kernel", values: [[0, 0, 0], [0, 1, 0], [0, 0, 0]], kernel: count(3, 3), padding: "SAME",
        story: "The map is the kernel rotated by 180 degrees. Convolution in mathematics rotates the kernel first, so that the map equals the kernel; networks do not." },
      { id: "edge", title: "Vertical edges: 6x6 gives 4x4", values: picture,
        story: "The left column minus the right one. The last of the sixteen is 11 = 22 - 11; the lecture prints 10, a misprint." },
      { id: "stride", title: "Stride 2: 6x6 gives 2x2", values: picture, strides: [2, 2],
        story: "Every second window in both directions: -14, 10, -7, 1, which are four of the 16 windows." },
      { id: "same", title: "SAME: 5x5 stays 5x5", values: ones(5, 5), kernel: ones(3, 3), padding: "SAME",
        story: "P = (3 - 1)/2 = 1 makes the image 7x7. A kernel of ones counts the image's own pixels in each window: 4 in a corner, 6 at an edge, 9 inside." },
      { id: "valid13", title: "Width 13, window 6, stride 5: VALID", values: count(1, 13), kernel: ones(1, 6), strides: [1, 5],
        story: "(13 - 6)/5 + 1 = 2.4: two windows. No window covers columns 12 and 13." },
      { id: "same13", title: "Width 13, window 6, stride 5: SAME", values: count(1, 13), kernel: ones(1, 6), strides: [1, 5], padding: "SAME",
        story: "ceil(13/5) = 3 windows need 16 columns: one zero on the left and two on the right." },
      { id: "ignored", title: "Input 4, kernel 3, padding 1, stride 2: an ignored row", values: count(4, 4), kernel: ones(3, 3), padding: 1, strides: [2, 2],
        story: "(4 + 2 - 3)/2 + 1 = 2.5: two windows. No window covers the last of the 6 padded rows, which is padding. With padding 0, it is the image's own last row." },
      { id: "cut", title: "Input 4, kernel 3, no padding, stride 2: a lost row", values: count(4, 4), kernel: ones(3, 3), strides: [2, 2],
        story: "(4 - 3)/2 + 1 = 1.5: one window. No window covers the last row and the last column of the image." },
      { id: "alexnet", title: "AlexNet's first layer: 224 and 55", values: null, size: [224, 224], kernel: ones(11, 11), strides: [4, 4], padding: [[1, 2], [1, 2]],
        story: "One zero before and two after give 227: (227 - 11)/4 + 1 = 55. SAME gives ceil(224/4) = 56; the lecture's sum, (224 + 8 - 11)/4 = 55.25, omits the + 1." },
      { id: "max", title: "Max pooling 2x2", ...pooling, values: [[1, 3, 2, 4], [5, 6, 8, 7], [4, 2, 1, 3], [2, 5, 7, 8]], story: "The maximum of each window: 6, 8, 5, 8." },
      { id: "avg", title: "Average pooling 2x2", ...pooling, operation: "avg", values: [[2, 2, 7, 3], [9, 4, 6, 1], [8, 5, 2, 4], [3, 1, 2, 6]], story: "The mean of each window: 4.25, 4.25, 4.25, 3.5." },
      { id: "min", title: "Min pooling 2x2", ...pooling, operation: "min", values: [[20, 8, 12, 15], [6, 12, 9, 8], [9, 12, 10, 6], [18, 10, 5, 9]], story: "The minimum of each window: 6, 8, 9, 5." },
      { id: "practice", title: "Practice: 8x7 and a Sobel kernel", values: practice, kernel: [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
        story: "Compute a few values on paper first. The first window is (0 + 2·0 + 1) - (1 + 2·3 + 0) = -6; the map is 6x5." },
      { id: "line", title: "A line filter on a cross", values: "cross", size: [15, 15], kernel: "vertical line 7x7", padding: "SAME",
        story: "A 7x7 kernel with a central column of ones responds to vertical lines: the map is bright along the vertical bar." },
    ],
    kernels: {
      "identity 3x3": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
      "blur 3x3": ones(3, 3).map((row) => row.map(() => 1 / 9)),
      "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
      "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
      "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
      "Sobel, left to right": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
      "Sobel, top to bottom": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
      "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
      "vertical line 7x7": ones(7, 7).map((row) => row.map((_, j) => Number(j === 3))),
      "horizontal line 7x7": ones(7, 7).map((row, i) => row.map(() => Number(i === 3))),
    },
    fills: {
      zeros: () => 0,
      ones: () => 1,
      count: (i, j, height, width) => i * width + j + 1,
      cross: (i, j, height, width) => Number(i === Math.floor(height / 2) || j === Math.floor(width / 2)),
      ring: (i, j, height, width) => Number(Math.abs(Math.hypot(i - (height - 1) / 2, j - (width - 1) / 2) - Math.min(height, width) / 3) < 0.8),
      stripes: (i, j) => Number(j % 4 < 2),
      ramp: (i, j) => i + j,
    },
    paddings: {
      VALID: "No padding: windows stay inside the image.",
      SAME: "ceil(size / stride) outputs; zeros spread evenly, the odd one at the end (TensorFlow, XLA).",
      SAME_LOWER: "Like SAME, with the odd zero at the start (ONNX).",
      TORCH: "dilation x (window - 1) / 2 zeros on each side, whatever the stride.",
      REFLECT: "As many pixels as SAME, mirrored at the border pixel.",
      REPLICATE: "As many pixels as SAME, each the nearest border pixel.",
      CIRCULAR: "As many pixels as SAME, from the opposite border.",
      number: "The same number of zeros on every side.",
      explicit: "A number of zeros for each side.",
    },
  };
})();

if (typeof module !== "undefined") module.exports = presets;
