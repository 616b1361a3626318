// kubernetes.mjs FILE: checks each document of a file against the schema of its kind. One line a document; exit code 1 if one is wrong.
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";

for (const document of parseAllDocuments(readFileSync(process.argv[2], "utf8"))) {
  if (document.errors.length > 0) throw document.errors[0];
  const resource = document.toJS();
  const kinds = await import(`kubernetes-models/${resource.apiVersion}`);
  const kind = kinds[resource.kind];
  if (!kind) throw new Error(`${resource.apiVersion} has no ${resource.kind}`);
  try {
    new kind(resource).validate();
    console.log(`ok ${resource.kind} ${resource.metadata.name}`);
  } catch (error) {
    console.log(`wrong ${resource.kind} ${resource.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
