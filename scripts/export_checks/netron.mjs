// Opens ONNX files by Netron's parser: node netron.mjs FOLDER_OF_NETRON FILE ...; prints a line of JSON for each.
import * as fs from 'fs';
import * as path from 'path';
import { pathToFileURL } from 'url';

const [folder, ...files] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.resolve(folder, name)).href);
const view = await load('view.js');
const node = await load('node.js');

const faults = [];
const host = {
    environment: () => null,
    window: { DOMParser: null },
    require: (name) => load(`${name}.js`),
    request: async (name, encoding) => fs.readFileSync(path.resolve(folder, name), encoding),
    exception: (error) => faults.push(error.message),
    worker: () => null,
};

for (const file of files) {
    const stat = fs.statSync(file);
    const stream = new node.FileStream(file, 0, stat.size, stat.mtimeMs);
    const context = {
        identifier: path.basename(file), stream, entries: new Map(), request: host.request, require: host.require,
        error: host.exception, environment: host.environment,
    };
    const model = await new view.ModelFactoryService(host).open(context);
    const graph = model.modules[0];
    const kinds = {};
    for (const each of graph.nodes) {
        kinds[each.type.name] = (kinds[each.type.name] ?? 0) + 1;
    }
    const names = (list) => list.map((each) => each.name);
    console.log(JSON.stringify({
        file, format: model.format, inputs: names(graph.inputs), outputs: names(graph.outputs), kinds, faults,
    }));
}
