/** What a user of @sigstore/oci writes: `client.mjs attach IMAGE@DIGEST FILE TYPE` and `client.mjs digest IMAGE:TAG`. */
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [command, image, ...rest] = process.argv.slice(2);
const { attachArtifactToImage, getImageDigest } = await import(pathToFileURL(process.env.SIGSTORE_OCI).href);
const { REGISTRY_USERNAME: username = "", REGISTRY_PASSWORD: password = "" } = process.env;
const credentials = { username, password };
// It takes plain HTTP for granted on a loopback address.
const cut = image.lastIndexOf(command === "attach" ? "@" : ":");
const [imageName, reference] = [image.slice(0, cut), image.slice(cut + 1)];

if (command === "attach") {
  const [file, mediaType] = rest;
  const artifact = await readFile(file);
  const made = await attachArtifactToImage({ artifact, mediaType, imageName, imageDigest: reference, credentials });
  console.log(JSON.stringify(made));
} else {
  console.log(await getImageDigest({ imageName, imageTag: reference, credentials }));
}
