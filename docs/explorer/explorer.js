"use strict";

/** The page: settings in `state`, drawn by `draw()` after every change. All arithmetic is convolution.js's. */
(() => {
  const MOST = 40; // cells of a padded side that are still drawn
  const $ = (id) => document.getElementById(id);
  const state = { row: 0, column: 0 };
  let timer = null;

  // --- numbers and matrices ---

  const shown = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)))).replace("-", "−");
  const asText = (matrix) => matrix.map((row) => row.map((value) => Number(value.toPrecision(6))).join(" ")).join("\n");

  function parse(text, what) {
    const rows = text.trim().split(/\n+/).map((line) => line.trim().split(/[\s,;]+/).map(Number));
    if (rows.flat().some((value) => !Number.isFinite(value))) throw new Error(`${what}: expected numbers, separated by spaces`);
    if (rows.some((row) => row.length !== rows[0].length)) throw new Error(`${what}: expected as many numbers in each row`);
    if (rows.length > 32 || rows[0].length > 32) throw new Error(`${what}: expected at most 32 rows and columns`);
    return rows;
  }

  const filled = (height, width, value) =>
    Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => value(i, j, height, width)));
  const asMap = (matrix) => ({ height: matrix.length, width: matrix[0].length, channels: 1, data: matrix.flat() });

  // --- what the settings come to ---

  const pooling = () => state.operation !== "conv";
  const size = () => (state.values ? [state.values.length, state.values[0].length] : state.size);
  const weights = () => (state.flip ? state.kernel.map((row) => [...row].reverse()).reverse() : state.kernel);
  const taps = () => (pooling() ? state.window : [state.kernel.length, state.kernel[0].length]);

  function compute() {
    const [height, width] = size();
    const moves = { strides: state.strides, padding: state.padding, dilation: state.dilation, ceilMode: pooling() && state.ceilMode };
    if (pooling() && convolution.BORDERS.includes(state.padding)) throw new Error(`Pooling takes no ${state.padding} padding.`);
    const [rows, columns] = convolution.axes({ height, width }, taps(), moves);
    if (!state.values) return { rows, columns, output: null };
    const x = asMap(state.values);
    const output = pooling()
      ? convolution.pool(x, state.operation, taps(), { ...moves, countPadding: state.countPadding })
      : convolution.conv2d(x, { height: taps()[0], width: taps()[1], inputs: 1, outputs: 1, data: weights().flat() }, moves);
    return { rows, columns, output };
  }

  /** [place down, place across, value or null for padding that pooling leaves out, weight] of the window of an output cell. */
  function windowCells({ rows, columns }, row, column) {
    const cells = [];
    for (let i = 0; i < rows.window; i++)
      for (let j = 0; j < columns.window; j++) {
        const place = [row * rows.stride + i * rows.dilation - rows.low, column * columns.stride + j * columns.dilation - columns.low];
        const [down, across] = [rows.source(place[0]), columns.source(place[1])];
        const real = down >= 0 && across >= 0;
        const value = real ? state.values[down][across] : 0;
        cells.push([...place, real || !pooling() ? value : null, pooling() ? 1 : weights()[i][j]]);
      }
    return cells;
  }

  // --- drawing ---

  function cellSize(columns, container) {
    const room = Math.max(Math.min(container, 480), 240);
    return Math.max(8, Math.min(44, Math.floor((room - 8) / columns)));
  }

  function table(element, height, width, fill) {
    const cell = cellSize(width, document.querySelector("main").clientWidth - 32);
    element.className = "cells";
    element.style.setProperty("--cell", `${cell}px`);
    element.replaceChildren(...filled(height, width, (i, j) => {
      const td = document.createElement("td");
      fill(td, i, j, cell >= 18);
      return td;
    }).map((cells) => {
      const tr = document.createElement("tr");
      tr.append(...cells);
      return tr;
    }));
  }

  /** Grey of a value between the smallest and largest, with ink that can be read on it. */
  function shade(td, value, low, high) {
    const level = high > low ? (value - low) / (high - low) : 0.5;
    const grey = Math.round(255 * level);
    td.style.background = `rgb(${grey}, ${grey}, ${grey})`;
    td.style.color = level > 0.5 ? "black" : "white";
  }

  function drawInput(found) {
    const { rows, columns } = found;
    const [unreadRows, unreadColumns] = [new Set(rows.unread), new Set(columns.unread)];
    const all = state.values.flat();
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const inWindow = new Map(windowCells(found, state.row, state.column).map(([i, j]) => [`${i},${j}`, true]));
    table($("input"), rows.low + rows.size + rows.high, columns.low + columns.size + columns.high, (td, i, j, numbers) => {
      const [down, across] = [i - rows.low, j - columns.low];
      const real = down >= 0 && across >= 0 && down < rows.size && across < columns.size;
      const [from, to] = [rows.source(down), columns.source(across)];
      const value = from >= 0 && to >= 0 ? state.values[from][to] : 0;
      if (real) {
        td.dataset.place = `${down},${across}`;
        shade(td, value, low, high);
      } else td.classList.add("padding");
      if (unreadRows.has(down) || unreadColumns.has(across)) td.classList.add("unread");
      if (inWindow.has(`${down},${across}`)) td.classList.add("window");
      if (numbers) td.textContent = real || !pooling() || (state.operation === "avg" && state.countPadding) ? shown(value) : "";
    });
  }

  function drawOutput({ output }) {
    const [low, high] = [Math.min(...output.data), Math.max(...output.data)];
    table($("output"), output.height, output.width, (td, i, j, numbers) => {
      const value = output.data[i * output.width + j];
      const current = i === state.row && j === state.column;
      shade(td, value, low, high);
      td.setAttribute("aria-label", `row ${i + 1}, column ${j + 1}: ${shown(value)}`);
      td.setAttribute("aria-selected", String(current));
      td.tabIndex = current ? 0 : -1;
      td.dataset.cell = `${i},${j}`;
      if (current) td.classList.add("window");
      if (numbers) td.textContent = shown(value);
    });
  }

  function sumText(found) {
    const cells = windowCells(found, state.row, state.column);
    const value = found.output.data[state.row * found.output.width + state.column];
    const where = `Output row ${state.row + 1}, column ${state.column + 1}: `;
    if (!pooling()) {
      const some = cells.length > 9 && cells.some(([, , , weight]) => weight === 0);
      const terms = some ? cells.filter(([, , , weight]) => weight !== 0) : cells;
      const products = terms.map(([, , pixel, weight]) => `${shown(pixel)}·${shown(weight)}`);
      return `${where}${products.join(" + ") || "0"} = ${shown(value)}${some ? "; weights of 0 left out" : ""}`;
    }
    const counts = state.operation === "avg" && state.countPadding;
    const pixels = cells.filter((cell) => cell[2] !== null).map((cell) => shown(cell[2]));
    const left = counts ? "" : cells.some((cell) => cell[2] === null) ? ", padding left out" : "";
    if (state.operation !== "avg") return `${where}${state.operation === "max" ? "largest" : "smallest"} of ${pixels.join(", ")}${left} is ${shown(value)}`;
    const zeros = counts ? ", padding counted as zeros" : "";
    return `${where}mean of ${pixels.join(", ")}${left}${zeros} is ${shown(value)}`;
  }

  function formula(name, axis, ceilMode) {
    const span = axis.dilation > 1 ? `, which span ${axis.dilation}·(${axis.window} − 1) + 1 = ${axis.span}` : "";
    const exact = (axis.size + axis.low + axis.high - axis.span) / axis.stride + 1;
    const rounded = Number.isInteger(exact) ? "" : ceilMode && axis.outputs > exact ? ", rounded up," : ", rounded down,";
    const result = Number.isInteger(exact) ? `= ${exact}` : `= ${shown(exact)}${rounded} is ${axis.outputs}`;
    const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
    return `${name}: ${plural(axis.size, "pixel")}, padding ${axis.low} + ${axis.high}, ${plural(axis.window, "tap")}${span}, stride ${axis.stride}: ` +
      `(${axis.size} + ${axis.low} + ${axis.high} − ${axis.span})/${axis.stride} + 1 ${result}`;
  }

  function unreadText({ rows, columns }) {
    const part = (name, axis) => {
      const pixels = axis.unread.filter((place) => place >= 0 && place < axis.size).map((place) => place + 1);
      const padding = axis.unread.length - pixels.length;
      const texts = [];
      if (pixels.length) texts.push(`${name}${pixels.length > 1 ? "s" : ""} ${pixels.length > 12 ? `${pixels.slice(0, 12).join(", ")}, …` : pixels.join(", ")} of the image`);
      if (padding) texts.push(`${padding} ${name}${padding > 1 ? "s" : ""} of padding`);
      return texts;
    };
    const texts = [...part("row", rows), ...part("column", columns)];
    return texts.length ? `Read by no window: ${texts.join(", ")}.` : "Every row and column is read by some window.";
  }

  function draw() {
    showSettings();
    $("fault").textContent = "";
    let found;
    try {
      found = compute();
    } catch (error) {
      $("fault").textContent = error.message;
      $("stage").hidden = true;
      for (const id of ["rows_formula", "columns_formula", "unread"]) $(id).textContent = "";
      stop();
      return;
    }
    const { rows, columns, output } = found;
    state.row = Math.min(state.row, rows.outputs - 1);
    state.column = Math.min(state.column, columns.outputs - 1);
    state.outputs = [rows.outputs, columns.outputs];
    const drawn = output !== null && Math.max(rows.size + rows.low + rows.high, columns.size + columns.low + columns.high) <= MOST + 32;
    $("stage").hidden = !drawn;
    $("rows_formula").textContent = formula("Rows", rows, state.ceilMode && pooling());
    $("columns_formula").textContent = formula("Columns", columns, state.ceilMode && pooling());
    $("unread").textContent = unreadText(found);
    if (!drawn) return;
    const kept = document.activeElement && document.activeElement.dataset.cell !== undefined;
    $("input_size").textContent = `${rows.size}x${columns.size}, with padding ${rows.low + rows.size + rows.high}x${columns.low + columns.size + columns.high}`;
    $("output_size").textContent = `${rows.outputs}x${columns.outputs}`;
    drawInput(found);
    drawOutput(found);
    $("weights").closest("figure").hidden = pooling();
    if (!pooling()) {
      $("kernel_title").textContent = `Kernel${state.flip ? ", turned" : ""}: ${rows.window}x${columns.window}`;
      table($("weights"), rows.window, columns.window, (td, i, j, numbers) => {
        td.textContent = numbers ? shown(weights()[i][j]) : "";
        if (weights()[i][j] !== 0) td.classList.add("marked");
      });
    }
    $("sum").textContent = sumText(found);
    if (kept) $("output").querySelector('[tabindex="0"]').focus();
  }

  // --- settings ---

  const isExplicit = () => Array.isArray(state.padding);
  const paddingName = () => (isExplicit() ? "explicit" : typeof state.padding === "number" ? "number" : state.padding);

  function showSettings() {
    const set = (id, value) => {
      if (document.activeElement !== $(id)) $(id).value = value;
    };
    const [height, width] = size();
    set("height", height);
    set("width", width);
    set("values", state.values ? asText(state.values) : "");
    set("operation", state.operation);
    set("window_height", state.window[0]);
    set("window_width", state.window[1]);
    set("kernel", asText(state.kernel));
    const named = Object.entries(presets.kernels).find(([, matrix]) => asText(matrix) === asText(state.kernel));
    set("kernel_name", named ? named[0] : "");
    set("padding", paddingName());
    if (typeof state.padding === "number") set("pad", state.padding);
    if (isExplicit()) ["top", "bottom", "left", "right"].forEach((id, i) => set(id, state.padding.flat()[i]));
    set("stride_down", state.strides[0]);
    set("stride_across", state.strides[1]);
    set("dilation", state.dilation);
    $("flip").checked = state.flip;
    $("ceil_mode").checked = state.ceilMode;
    $("count_padding").checked = state.countPadding;
    $("padding_story").textContent = presets.paddings[paddingName()];
    const on = { conv: !pooling(), pool: pooling(), avg: state.operation === "avg", number: paddingName() === "number", explicit: isExplicit() };
    for (const element of document.querySelectorAll("[data-for]")) element.hidden = !on[element.dataset.for];
  }

  function choose(example) {
    const { values, size: extent = null, kernel = presets.base.kernel, ...rest } = example;
    Object.assign(state, structuredClone(presets.base), structuredClone(rest), { row: 0, column: 0, size: extent });
    state.values = typeof values === "string" ? filled(...extent, presets.fills[values]) : values && structuredClone(values);
    state.kernel = structuredClone(typeof kernel === "string" ? presets.kernels[kernel] : kernel);
    $("story").textContent = example.story;
    stop();
    draw();
  }

  /** A whole number within the field's bounds; the field's own value is mended where it is none. */
  function whole(id) {
    const field = $(id);
    const value = Math.round(Number(field.value));
    const [least, most] = [Number(field.min || -Infinity), Number(field.max || Infinity)];
    return Number.isFinite(value) && field.value !== "" ? Math.min(Math.max(value, least), most) : Math.max(least, 1);
  }

  function resize() {
    const [height, width] = [whole("height"), whole("width")];
    const old = state.values ?? [[]];
    state.values = filled(height, width, (i, j) => old[i]?.[j] ?? 0);
    state.size = null;
  }

  function explicit() {
    const [top, bottom, left, right] = ["top", "bottom", "left", "right"].map(whole);
    state.padding = [[top, bottom], [left, right]];
  }

  const changes = {
    height: resize,
    width: resize,
    fill: () => { if ($("fill").value) state.values = filled(whole("height"), whole("width"), presets.fills[$("fill").value]); $("fill").value = ""; },
    values: () => { state.values = parse($("values").value, "Values"); },
    operation: () => { state.operation = $("operation").value; if (pooling()) state.strides = [...state.window]; else state.strides = [1, 1]; },
    window_height: () => { state.window[0] = whole("window_height"); },
    window_width: () => { state.window[1] = whole("window_width"); },
    kernel_name: () => { if ($("kernel_name").value) state.kernel = structuredClone(presets.kernels[$("kernel_name").value]); },
    kernel: () => { state.kernel = parse($("kernel").value, "Weights"); },
    flip: () => { state.flip = $("flip").checked; },
    ceil_mode: () => { state.ceilMode = $("ceil_mode").checked; },
    count_padding: () => { state.countPadding = $("count_padding").checked; },
    padding: () => { const name = $("padding").value; if (name === "number") state.padding = whole("pad"); else if (name === "explicit") explicit(); else state.padding = name; },
    pad: () => { state.padding = whole("pad"); },
    top: explicit, bottom: explicit, left: explicit, right: explicit,
    stride_down: () => { state.strides[0] = whole("stride_down"); },
    stride_across: () => { state.strides[1] = whole("stride_across"); },
    dilation: () => { state.dilation = whole("dilation"); },
  };

  function changed(event) {
    const change = changes[event.target.id];
    if (!change || (event.type === "input" && event.target.type === "checkbox")) return;
    try {
      change();
    } catch (error) {
      $("fault").textContent = error.message;
      return;
    }
    draw();
  }

  // --- steps ---

  function move(to) {
    const [height, width] = state.outputs;
    const cell = Math.min(Math.max(to, 0), height * width - 1);
    [state.row, state.column] = [Math.floor(cell / width), cell % width];
    draw();
  }

  const place = () => state.row * state.outputs[1] + state.column;

  function stop() {
    clearInterval(timer);
    timer = null;
    $("play").setAttribute("aria-pressed", "false");
    $("play").textContent = "Play";
    $("sum").setAttribute("aria-live", "polite");
  }

  function play() {
    if (timer !== null) return stop();
    if (place() === state.outputs[0] * state.outputs[1] - 1) move(0);
    $("play").setAttribute("aria-pressed", "true");
    $("play").textContent = "Pause";
    $("sum").setAttribute("aria-live", "off");
    timer = setInterval(() => {
      if (place() === state.outputs[0] * state.outputs[1] - 1) stop();
      else move(place() + 1);
    }, 2000 / Number($("speed").value));
    return undefined;
  }

  function arrow(event) {
    const [rows, columns] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const [height, width] = state.outputs;
    if (event.key === "Home") state.column = 0;
    else if (event.key === "End") state.column = width - 1;
    else if (!rows && !columns) return;
    state.row = Math.min(Math.max(state.row + rows, 0), height - 1);
    state.column = Math.min(Math.max(state.column + columns, 0), width - 1);
    event.preventDefault();
    draw();
  }

  // --- pictures and the brush ---

  async function upload() {
    const file = $("upload").files[0];
    if (!file) return;
    try {
      const bitmap = await createImageBitmap(file);
      const side = 28;
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [side, side];
      const context = canvas.getContext("2d");
      const scale = Math.max(side / bitmap.width, side / bitmap.height);
      const [width, height] = [bitmap.width * scale, bitmap.height * scale];
      context.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
      const { data } = context.getImageData(0, 0, side, side);
      state.values = filled(side, side, (i, j) => {
        const at = (i * side + j) * 4;
        return Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
      });
      $("fault").textContent = "";
      draw();
    } catch {
      $("fault").textContent = `${file.name} is no picture that this browser reads; PNG and JPEG always work.`;
    }
  }

  function paint(event) {
    const td = document.elementFromPoint(event.clientX, event.clientY)?.closest?.("#input td[data-place]");
    if (!td || event.buttons !== 1) return;
    const [row, column] = td.dataset.place.split(",").map(Number);
    const value = Number($("brush").value);
    if (!Number.isFinite(value) || state.values[row][column] === value) return;
    state.values[row][column] = value;
    draw();
  }

  // --- several layers ---

  function stackRows() {
    const body = $("stack_layers").tBodies[0];
    const wanted = whole("stack_count");
    while (body.rows.length > wanted) body.deleteRow(-1);
    while (body.rows.length < wanted) {
      const number = body.rows.length + 1;
      const row = body.insertRow();
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = String(number);
      row.append(name);
      for (const [what, value] of [["window", 3], ["stride", 1], ["dilation", 1]]) {
        const field = document.createElement("input");
        Object.assign(field, { type: "number", min: "1", max: "11", value: String(value), id: `stack_${what}_${number}` });
        field.setAttribute("aria-label", `layer ${number}, ${what}`);
        row.insertCell().append(field);
      }
      const dialect = document.createElement("select");
      dialect.id = `stack_padding_${number}`;
      dialect.setAttribute("aria-label", `layer ${number}, padding`);
      dialect.append(...convolution.DIALECTS.map((each) => new Option(each, each)));
      row.insertCell().append(dialect);
    }
  }

  function drawStack() {
    stackRows();
    const layers = [...$("stack_layers").tBodies[0].rows].map((_, i) => ({
      window: whole(`stack_window_${i + 1}`), stride: whole(`stack_stride_${i + 1}`), dilation: whole(`stack_dilation_${i + 1}`),
      padding: $(`stack_padding_${i + 1}`).value,
    }));
    let fields;
    try {
      const last = convolution.receptiveField(whole("stack_size"), layers, 0).at(-1).size;
      const cell = ["stack_row", "stack_column"].map((id) => {
        $(id).max = String(last);
        const value = Math.min(whole(id), last);
        if (document.activeElement !== $(id)) $(id).value = String(value);
        return value - 1;
      });
      fields = cell.map((pixel) => convolution.receptiveField(whole("stack_size"), layers, pixel));
    } catch (error) {
      $("stack_maps").replaceChildren();
      $("stack_story").textContent = error.message;
      return;
    }
    const [down, across] = fields;
    $("stack_maps").replaceChildren(...down.map((rows, number) => {
      const columns = across[number];
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = `${number ? `After layer ${number}` : "Input"}: ${rows.size}x${columns.size}`;
      const map = document.createElement("table");
      map.setAttribute("aria-hidden", "true");
      table(map, rows.size, columns.size, (td, i, j) => {
        if (i >= rows.low && i <= rows.high && j >= columns.low && j <= columns.high) td.classList.add("marked");
      });
      map.style.setProperty("--cell", `${Math.max(6, Math.min(16, Math.floor(260 / columns.size)))}px`);
      figure.append(caption, map);
      return figure;
    }));
    const [rows, columns] = [down[0], across[0]];
    const reach = (axis) => axis.low < 0 || axis.high >= axis.size;
    $("stack_story").textContent = `The cell depends on ${rows.high - rows.low + 1}x${columns.high - columns.low + 1} cells of the input: rows ` +
      `${shown(rows.low + 1)} to ${rows.high + 1}, columns ${shown(columns.low + 1)} to ${columns.high + 1}` +
      `${reach(rows) || reach(columns) ? ", part of them padding" : ""}.`;
  }

  // --- start ---

  function start() {
    $("preset").append(...presets.examples.map(({ id, title }) => new Option(title, id)));
    $("kernel_name").append(new Option("(your weights)", ""), ...Object.keys(presets.kernels).map((name) => new Option(name, name)));
    $("padding").append(...Object.keys(presets.paddings).map((name) => new Option(name, name)));
    $("preset").addEventListener("change", () => {
      location.hash = $("preset").value;
    });
    const fromAddress = () => {
      const example = presets.examples.find(({ id }) => `#${id}` === location.hash) ?? presets.examples[0];
      $("preset").value = example.id;
      choose(example);
    };
    window.addEventListener("hashchange", fromAddress);
    $("controls").addEventListener("input", changed);
    $("controls").addEventListener("change", changed);
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    $("controls").addEventListener("focusout", showSettings);
    $("upload").addEventListener("change", upload);
    $("first").addEventListener("click", () => { stop(); move(0); });
    $("back").addEventListener("click", () => { stop(); move(place() - 1); });
    $("step").addEventListener("click", () => { stop(); move(place() + 1); });
    $("last").addEventListener("click", () => { stop(); move(state.outputs[0] * state.outputs[1] - 1); });
    $("play").addEventListener("click", play);
    $("speed").addEventListener("input", () => { if (timer !== null) { stop(); play(); } });
    $("output").addEventListener("keydown", arrow);
    $("output").addEventListener("click", (event) => {
      const td = event.target.closest("td[data-cell]");
      if (!td) return;
      stop();
      [state.row, state.column] = td.dataset.cell.split(",").map(Number);
      draw();
      $("output").querySelector('[tabindex="0"]').focus();
    });
    for (const type of ["pointerdown", "pointermove"]) $("input").addEventListener(type, paint);
    for (const id of ["stack_size", "stack_count", "stack_row", "stack_column"]) $(id).addEventListener("input", drawStack);
    $("stack_layers").addEventListener("input", drawStack);
    window.addEventListener("resize", draw);
    fromAddress();
    drawStack();
  }

  start();
})();
