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
  const input = el("input", { type: "file", webkitdirectory: true, class: "unseen", onchange: () => takeFolder([...input.files]) });
  return el("div", { class: "folder" },
    el("p", { class: "fine" }, "A page on disk may play sounds and not read them. It can once you give it the folder it is in; nothing is sent anywhere."),
    el("label", { class: "plain-button" }, "Give the folder", input));
}

function takeFolder(files) {
  const page = decodeURIComponent(location.pathname.split("/").pop());
  const own = files.find((file) => file.name === page);
  if (!own) {
    say("That is not the folder of this page");
    return;
  }
  const above = own.webkitRelativePath.length - page.length;
  for (const file of files) given.set(file.webkitRelativePath.slice(above).normalize(), file);
  for (const act of onGiven) act();
}
