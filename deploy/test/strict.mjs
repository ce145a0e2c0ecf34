// Holds resources of others (Gateway API, Envoy Gateway, Istio, cert-manager, the Prometheus operator) against their own
// types: what is required and what a value may be by the packages' validators; and that no member is there which they do
// not know by TypeScript, which refuses unknown members of literals. That is how a misspelt one is found, which
// Kubernetes would drop without a word.
//
// Standard input: a JSON array of resources. Standard output: a JSON array of {index, error}. Run in .tools/deploy/node.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const directory = process.argv[2];
const require = createRequire(`${directory}/package.json`);
const ts = require("typescript");

const packages = {
  "gateway.networking.k8s.io": "gateway-api",
  "gateway.envoyproxy.io": "envoy-gateway",
  "networking.istio.io": "istio",
  "extensions.istio.io": "istio",
  "cert-manager.io": "cert-manager",
  "monitoring.coreos.com": "prometheus-operator",
};

const errors = [];
const resources = JSON.parse(readFileSync(0, "utf8"));
let imports = "";
let literals = "";
const lines = [];
for (const [index, resource] of resources.entries()) {
  const [group, version] = resource.apiVersion.split("/");
  const module = `@kubernetes-models/${packages[group]}/${group}/${version}/${resource.kind}`;
  const file = `${directory}/node_modules/${module}.js`;
  let model;
  try {
    model = (await import(pathToFileURL(file)))[resource.kind];
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
    errors.push({ index, error: `there is no ${resource.kind} of ${resource.apiVersion}` });
    continue;
  }
  try {
    new model(resource).validate();
  } catch (error) {
    errors.push({ index, error: error.message });
  }
  imports += `import { I${resource.kind} as T${index} } from "${module}";\n`;
  literals += `const r${index}: T${index} = ${JSON.stringify(resource)};\n`;
  lines.push(index);
}

// One file, a line for each resource after all imports, so that a diagnostic's line names its resource.
const name = `${directory}/resources.ts`;
const text = imports + literals;
const options = { noEmit: true, strict: true, skipLibCheck: true, types: [], module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext };
const host = ts.createCompilerHost(options);
const [getSourceFile, fileExists, readFile] = [host.getSourceFile, host.fileExists, host.readFile];
host.getSourceFile = (file, ...rest) => (file === name ? ts.createSourceFile(file, text, rest[0]) : getSourceFile(file, ...rest));
host.fileExists = (file) => file === name || fileExists(file);
host.readFile = (file) => (file === name ? text : readFile(file));
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([name], options, host))) {
  const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, " ");
  const line = diagnostic.file?.fileName === name ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line : -1;
  errors.push({ index: lines[line - lines.length] ?? null, error: message });
}
process.stdout.write(JSON.stringify(errors));
