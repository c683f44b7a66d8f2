// Files as one zip, as they are: sound grows no smaller by packing. And files that are dragged out of the page.

const MOST_FILES = 65_535; // a plain zip counts them in two bytes, and its own in four
const MOST_BYTES = 0xffffffff;
const CHECKS = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CHECKS[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

// Numbers of two or four bytes, the lowest first.
function packed(...fields) {
  const bytes = fields.flatMap(([size, value]) => Array.from({ length: size }, (_, place) => (value / 256 ** place) & 255));
  return Uint8Array.from(bytes);
}

const [SHORT, LONG] = [(value) => [2, value], (value) => [4, value]];
const UTF8 = 0x0800;
const NEW_YEAR_1980 = 0x0021; // a file's time says nothing here

function entryOf(name, bytes) {
  return [SHORT(20), SHORT(UTF8), SHORT(0), SHORT(0), SHORT(NEW_YEAR_1980), LONG(checksum(bytes)), LONG(bytes.length), LONG(bytes.length), SHORT(name.length), SHORT(0)];
}

async function zipOf(paths) {
  const parts = [];
  const directory = [];
  let [at, listed] = [0, 0];
  if (paths.length > MOST_FILES) throw new Error("These are more files than a zip can hold: choose fewer.");
  for (const path of paths) {
    const bytes = new Uint8Array(await bytesOf(path));
    const name = new TextEncoder().encode(path);
    const entry = entryOf(name, bytes);
    directory.push(packed(LONG(0x02014b50), SHORT(20), ...entry, SHORT(0), SHORT(0), SHORT(0), LONG(0), LONG(at)), name);
    parts.push(packed(LONG(0x04034b50), ...entry), name, new Blob([bytes]));
    at += 30 + name.length + bytes.length;
    listed += 46 + name.length;
    if (at + listed > MOST_BYTES) throw new Error("These are more bytes than a zip can hold: choose fewer.");
  }
  const end = packed(LONG(0x06054b50), SHORT(0), SHORT(0), SHORT(paths.length), SHORT(paths.length), LONG(listed), LONG(at), SHORT(0));
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function chosenPaths() {
  const takes = jobs.flatMap((job) => job.takes.filter((take) => take.number === chosen(job) && choosable(take)));
  return takes.flatMap((take) => take.files.map(([path]) => path));
}

// For the desk, and for programs that take files: some browsers bring the file, the others its address.
function dragFile(event, path) {
  const address = new URL(linkTo(path), location.href).href;
  event.dataTransfer.effectAllowed = "copy";
  event.dataTransfer.setData("text/uri-list", address);
  event.dataTransfer.setData("DownloadURL", `application/octet-stream:${path.split("/").pop()}:${address}`);
}
