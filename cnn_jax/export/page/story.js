"use strict";

/** Explanation of a unit's value, as a sentence and tables. */
const story = (() => {
  const shown = (value) => (Number.isInteger(value) ? String(value) : Math.abs(value) >= 1e-3 ? String(Number(value.toPrecision(4))) : value.toExponential(2)).replace(/-/g, "−");
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  function table(title, rows, cell) {
    const made = element("table", { className: "cells" }, ...rows.map((row) => element("tr", {}, ...row.map((each) => {
      const [text, padding] = cell(each);
      return element("td", { textContent: text, className: padding ? "padding" : "" });
    }))));
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, made);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", title);
    return element("figure", {}, element("figcaption", { textContent: title }), scroll);
  }

  function list(title, headings, rows) {
    const head = element("thead", {}, element("tr", {}, ...headings.map((text) => element("th", { scope: "col", className: "n", textContent: text }))));
    const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { className: "n", textContent: text })))));
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, head, body));
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", title);
    return element("figure", {}, element("figcaption", { textContent: title }), scroll);
  }

  /** Mean and variance of the values of a map selected by `counts`(position, channel). */
  function moments(x, counts) {
    const chosen = x.data.filter((_, i) => counts(Math.floor(i / x.channels), i % x.channels));
    const mean = chosen.reduce((sum, each) => sum + each, 0) / chosen.length;
    return [mean, chosen.reduce((sum, each) => sum + (each - mean) ** 2, 0) / chosen.length];
  }

  /** Values that a norm over several channels normalises together, by kind of norm. */
  const GROUPS = {
    layer_norm: (x, unit) => (place) => place === unit.row * x.width + unit.column,
    group_norm: (x, unit, { groups }) => (_, c) => Math.floor((c * groups) / x.channels) === Math.floor((unit.channel * groups) / x.channels),
  };

  /**
   * Explains a unit's value: [sentence, tables].
   *
   * inputs are the layer's input maps, change is the reader's change of its padding and stride, value is the unit's value.
   */
  function of(layer, inputs, unit, change, value) {
    const x = inputs[0];
    const same = (from) => from.data[(unit.row * from.width + unit.column) * from.channels + unit.channel];
    if (layer.kind === "conv") {
      const sums = units.sums(layer, x, unit, change);
      const cells = units.windowOf(layer, x, unit, unit.input, change);
      const bias = layer.arrays.bias ? layer.arrays.bias.data[unit.channel] : 0;
      const order = sums.map((sum, i) => [i, sum]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 12);
      const what = `input map ${unit.input + 1}`;
      return [`sum over ${sums.length === 1 ? "one input map" : `${sums.length} input maps`} ${shown(sums.reduce((a, b) => a + b, 0))} + bias ${shown(bias)} = ${shown(value)}.`, [
        table(`Kernel for ${what}`, cells, ({ weight }) => [shown(weight)]), table(`Values of ${what}`, cells, (each) => [shown(each.value), each.padding]),
        table(`Products, sum ${shown(sums[unit.input])}`, cells, (each) => [shown(each.product), each.padding]),
        list("Input maps, the strongest first", ["map", "sum"], order.map(([i, sum]) => [String(i + 1), shown(sum)]))]];
    }
    if (layer.kind.endsWith("_pool") && layer.window && !layer.kind.startsWith("adaptive")) {
      const cells = units.windowOf(layer, x, unit, 0, change);
      const verb = { max_pool: "largest", min_pool: "smallest", avg_pool: "mean" }[layer.kind];
      const counts = layer.settings.count_include_pad;
      return [`${verb} of its window's values, ${shown(value)}; padding ${counts ? "counts as zeros" : "is left out"}.`, [table("Values", cells, (each) => [each.padding && !counts ? "·" : shown(each.value), each.padding])]];
    }
    if (layer.kind === "dense") {
      const products = units.products(layer, x, unit);
      return [`sum of ${products.length} products ${shown(products.reduce((sum, { product }) => sum + product, 0))} + bias ${shown(layer.arrays.bias.data[unit.channel])} = ${shown(value)}.`,
        [list("Products, the largest first", ["input", "value", "weight", "product"], products.slice(0, 12).map((each) => [String(each.input + 1), shown(each.value), shown(each.weight), shown(each.product)]))]];
    }
    if (layer.kind === "activation") return [`${layer.function}(${shown(same(x))}) = ${shown(value)}.`, []];
    if (layer.kind === "add") return [`${inputs.map((each) => shown(same(each))).join(" + ")} = ${shown(value)}.`, []];
    if (layer.kind === "multiply") return [`${shown(same(x))} · the gate ${shown(inputs[1].data[unit.channel])} = ${shown(value)}.`, []];
    if (layer.kind === "scale") {
      const { coefficient, gamma, bias } = layer.arrays;
      return [`${shown((coefficient ?? gamma).data[unit.channel])} · ${shown(same(x))}${bias ? ` + ${shown(bias.data[unit.channel])}` : ""} = ${shown(value)}.`, []];
    }
    if (layer.kind === "batch_norm" || layer.kind in GROUPS) {
      const at = (name) => layer.arrays[name].data[unit.channel];
      const [mean, variance] = layer.kind === "batch_norm" ? [at("mean"), at("variance")] : moments(x, GROUPS[layer.kind](x, unit, layer.settings));
      return [`${shown(at("scale"))} · (${shown(same(x))} − ${shown(mean)}) / √(${shown(variance)} + ${layer.settings.eps}) + ${shown(at("bias"))} = ${shown(value)}.`, []];
    }
    if (layer.kind === "lrn") {
      const { size, alpha, beta, k, mean } = { ...convolution.LRN, ...layer.settings };
      const first = unit.channel - Math.floor(size / 2);
      const squares = Array.from(x.data.slice((unit.row * x.width + unit.column) * x.channels).slice(Math.max(first, 0), Math.min(first + size, x.channels)), (each) => each ** 2);
      return [`${shown(same(x))} / (${k} + ${shown(mean ? alpha / size : alpha)} · ${shown(squares.reduce((a, b) => a + b, 0))}) ^ ${beta} = ${shown(value)}; the sum is of the squares of ${squares.length} maps around.`, []];
    }
    if (layer.kind === "concat") {
      let [number, channel] = [0, unit.channel];
      while (channel >= inputs[number].channels) channel -= inputs[number++].channels;
      return [`map ${channel + 1} of the ${number + 1}. of ${inputs.length} inputs, unchanged, ${shown(value)}.`, []];
    }
    if (layer.kind === "flatten") {
      const [place, channel] = [Math.floor(unit.channel / x.channels), unit.channel % x.channels];
      return [`row ${Math.floor(place / x.width) + 1}, column ${(place % x.width) + 1} of map ${channel + 1}, unchanged, ${shown(value)}.`, []];
    }
    if (layer.kind === "dropout") return [`unchanged, ${shown(value)}; it only drops values in training.`, []];
    if (layer.kind.endsWith("avg_pool")) return [`mean of ${layer.kind.startsWith("global") ? "all" : "its"} places of map ${unit.channel + 1}, ${shown(value)}.`, []];
    return [`value ${shown(value)}.`, []];
  }

  return { shown, element, of };
})();
