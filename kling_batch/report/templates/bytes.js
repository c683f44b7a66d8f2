// The bytes of sounds. A server gives them; a page on disk may play what lies beside it, and read it once somebody has
// given it the folder.

const onDisk = location.protocol === "file:";
const given = new Map(); // path beside the page -> File
const onGiven = []; // what is done when a folder was given

function canRead(path) {
  return !onDisk || given.has(path.normalize());
}

async function bytesOf(path) {
  const source = onDisk ? given.get(path.normalize()) : await fetch(linkTo(path));
  if (!source || source.ok === false) throw new Error(`${path} cannot be read: is it beside this page?`);
  return source.arrayBuffer();
}

function folderField() {
  const words = el("p", { class: "fine", role: "status" }, "A page on disk may play sounds and not read them. It can once you give it the folder it is in; nothing is sent anywhere.");
  const input = el("input", { type: "file", webkitdirectory: true, class: "unseen", onchange: () => takeFolder([...input.files], words) });
  return el("div", { class: "folder" }, words, el("label", { class: "plain-button" }, "Give the folder", input));
}

function takeFolder(files, words) {
  const here = decodeURIComponent(location.pathname).normalize();
  const own = files.find((file) => here.endsWith(`/${file.webkitRelativePath.normalize()}`));
  if (!own) {
    words.textContent = `That folder is another one. This page is ${here}.`;
    return;
  }
  const above = own.webkitRelativePath.length - own.name.length;
  for (const file of files) given.set(file.webkitRelativePath.slice(above).normalize(), file);
  for (const act of onGiven) act();
}
