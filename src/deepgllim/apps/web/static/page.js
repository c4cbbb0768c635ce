// The page of `deepgllim app`: it sends pictures to api/poses and shows the responses. It loads nothing from other servers.

const ANGLES = ["pitch", "yaw", "roll"];
const SEEN_AS = { // descriptions of positive and negative angles
  pitch: ["up", "down"],
  yaw: ["to the image's left", "to the image's right"],
  roll: ["clockwise", "anticlockwise"],
};
const TRIES = 5; // number of attempts while the server is busy

const byId = (id) => document.getElementById(id);
const { maxBytes, least } = document.body.dataset;
const [given, invitation, drawn, words] = ["given", "invitation", "drawn", "words"].map(byId);
const shown = drawn.querySelector("img");
const video = document.querySelector("#camera video");
let pending = new AbortController(); // of the request in progress; a newer picture aborts it
let preview = ""; // address of the picture in the memory of the browser

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function signed(value, digits = 1) {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) ? "−" : "+") + text;
}
const degrees = (value) => `${signed(value)}°`;
const sentence = (kind, text) => element("p", { className: kind, role: kind === "sorry" ? "alert" : "status" }, text);

// ---- requests ----

async function predict(picture) {
  pending.abort();
  const mine = (pending = new AbortController());
  closeCamera();
  showPreview(picture);
  words.replaceChildren(sentence("busy", "Looking for faces …"));
  try {
    const answer = await request(picture, mine.signal);
    if (!mine.signal.aborted) showResponse(answer);
  } catch (error) {
    if (!mine.signal.aborted) words.replaceChildren(sentence("sorry", error.message));
  }
}

async function request(picture, signal) {
  if (picture.size > maxBytes) {
    const [found, most] = [picture.size, maxBytes].map((bytes) => +(bytes / 1e6).toPrecision(4));
    throw new Error(`the file has ${found} MB, and the limit is ${most} MB: send a smaller file`);
  }
  const body = await picture.arrayBuffer();
  for (let left = TRIES; ; left -= 1) {
    const response = await fetch("api/poses?drawn=true&conventions=true", {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body,
      signal,
    }).catch((error) => {
      throw signal.aborted ? error : new Error("no response from the server: check that it is running");
    });
    if (response.status === 429 && left > 1) {
      await new Promise((done) => setTimeout(done, 1000 * (Number(response.headers.get("Retry-After")) || 1)));
      if (signal.aborted) throw new Error("a newer picture was chosen");
      continue;
    }
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }
}

// ---- display ----

function showPicture(address, description) {
  shown.alt = description;
  shown.src = address;
  drawn.hidden = false;
  invitation.hidden = true;
  given.classList.add("full");
  byId("clear").disabled = false;
}

function hidePicture() {
  drawn.hidden = true;
  invitation.hidden = false;
  given.classList.remove("full");
}

function forgetPreview() {
  if (preview) URL.revokeObjectURL(preview);
  preview = "";
}

function showPreview(picture) {
  forgetPreview();
  preview = URL.createObjectURL(picture);
  showPicture(preview, "the chosen picture");
}

shown.addEventListener("error", hidePicture); // the browser does not support the format

function showResponse({ faces, drawn: address }) {
  const description = faces.map((face) => face.description).join("; ");
  showPicture(address, description || "the picture, without a face");
  forgetPreview();
  const cards = faces.map((face, number) => card(face, number + 1, faces.length));
  words.replaceChildren(...(cards.length ? cards : [sentence("sorry", "no face was found in this picture")]));
}

function clear() {
  pending.abort();
  closeCamera();
  forgetPreview();
  shown.removeAttribute("src");
  hidePicture();
  words.replaceChildren();
  byId("clear").disabled = true;
}

function card(face, number, count) {
  const made = element("section", { className: "card" },
    element("h2", {}, count > 1 ? `Face ${number} of ${count}` : "One face"),
    verdict(face),
    element("p", { className: "words" }, face.description.replaceAll(" ± ", "\u00a0±\u00a0")),
    angles(face),
    ...modes(face),
    ...conventions(face));
  made.dataset.face = number;
  return made;
}

function verdict(face) {
  const [kind, text] =
    face.in_distribution === null ? ["", "this model has no threshold of log p(x)"]
    : face.in_distribution ? ["known", "✓ like the training data"]
    : ["unknown", "✗ unlike the training data: do not trust it"];
  const density = face.log_density === null ? [] : [element("small", {}, `log p(x) = ${signed(face.log_density)}`)];
  return element("p", { className: `verdict ${kind}` }, text, ...density);
}

function angles(face) {
  const level = Math.round(100 * face.interval.level);
  const head = ["", "angle", `${level} % interval`, ""].map((text) => element("th", { scope: "col" }, text));
  const rows = ANGLES.map((name) => {
    const title = element("th", { scope: "row" }, name);
    if (face.unknown.includes(name))
      return element("tr", {}, title, element("td", { colSpan: 3 }, "not predicted by this model"));
    const value = face.angles[name];
    const ends = `${degrees(face.interval.lower[name])} to ${degrees(face.interval.upper[name])}`;
    const seen = Math.abs(value) < 0.5 ? "" : SEEN_AS[name][value < 0 ? 1 : 0];
    const row = element("tr", {}, title, ...[degrees(value), ends, seen].map((text) => element("td", {}, text)));
    Object.assign(row.dataset, { angle: name, value });
    return row;
  });
  return element("table", { className: "angles" },
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

function modes(face) {
  const likely = face.modes.filter((mode) => mode.probability >= least);
  if (likely.length < 2) return [];
  const entries = likely.map((mode) => {
    const values = ANGLES.map((name) => `${name} ${signed(mode[name], 0)}°`).join(", ");
    return element("li", {}, `${Math.round(100 * mode.probability)} %: ${values}`);
  });
  return [element("p", {}, "Several poses fit this face:"), element("ol", {}, ...entries)];
}

function conventions(face) {
  if (face.unknown.length) return []; // conventions need all three angles
  const neck = { name: "neck angles", units: face.units, angles: face.neck_angles };
  const rows = [neck, ...face.conventions].map(({ name, units, angles: written, matrix }) => {
    const row = element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, formatAngles(written, units, matrix)));
    row.dataset.convention = name;
    return row;
  });
  const table = element("table", {}, element("tbody", {}, ...rows));
  return [element("details", {},
    element("summary", {}, "In other conventions"),
    element("div", { className: "scroll" }, table))];
}

function formatAngles(written, units, matrix) {
  if (!written) return element("pre", {}, matrix.map((row) => row.map((x) => signed(x, 3)).join(" ")).join("\n"));
  const digits = units === "radians" ? 3 : 1;
  const values = Object.entries(written).map(([name, value]) => `${name} ${signed(value, digits)}`).join(", ");
  return `${values} ${units}`;
}

// ---- sources of pictures: files, drops, the clipboard, the camera, the examples ----

const firstPicture = (transfer) => transfer?.files[0];

for (const id of ["file", "capture"]) {
  byId(id).addEventListener("change", ({ target }) => {
    const [picture] = target.files;
    if (picture) predict(picture);
    target.value = ""; // so that the same file can be chosen again
  });
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  given.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) given.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  given.classList.remove("over");
  const picture = firstPicture(event.dataTransfer);
  if (picture) predict(picture);
  else words.replaceChildren(sentence("sorry", "no file was dropped: save the picture first, or copy and paste it"));
});

addEventListener("paste", (event) => {
  const picture = firstPicture(event.clipboardData);
  if (picture) predict(picture);
});

async function paste() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) return predict(await item.getType(type));
    }
    words.replaceChildren(sentence("sorry", "there is no picture in the clipboard: copy one first"));
  } catch (error) {
    words.replaceChildren(sentence("sorry", `the clipboard cannot be read (${error.message}): press Ctrl-V instead`));
  }
}

async function openCamera() {
  if (!navigator.mediaDevices) return byId("capture").click(); // absent over plain http from another machine
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
    clear();
    video.srcObject = stream;
    byId("camera").hidden = false;
    invitation.hidden = true;
  } catch (error) {
    words.replaceChildren(sentence("sorry", `the camera cannot be used (${error.message}): choose a file instead`));
  }
}

function closeCamera() {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  byId("camera").hidden = true;
  byId("shoot").disabled = true;
  invitation.hidden = !drawn.hidden;
}

function shoot() {
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob(predict, "image/png");
}

async function tryExample({ target }) {
  const example = target.closest("button")?.querySelector("img");
  if (example) predict(await (await fetch(example.src)).blob());
}

byId("choose").addEventListener("click", () => byId("file").click());
byId("film").addEventListener("click", openCamera);
byId("paste").addEventListener("click", paste);
byId("paste").hidden = !navigator.clipboard?.read;
byId("clear").addEventListener("click", clear);
byId("shoot").addEventListener("click", shoot);
video.addEventListener("loadeddata", () => { byId("shoot").disabled = false; });
byId("stop").addEventListener("click", closeCamera);
byId("examples").addEventListener("click", tryExample);
byId("examples").hidden = !byId("examples").querySelector("button");

// ---- tabs ----

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !chosen;
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
}
