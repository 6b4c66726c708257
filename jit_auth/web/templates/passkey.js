"use strict";
// Buttons with data-passkey="NAME" submit their form with a passkey's answer to the options of that name, in the field
// "passkey". It only speaks to the browser's own dialog and submits the form: nothing is fetched (default-src 'none').
(() => {
  const state = document.getElementById("passkey-state");
  const options = JSON.parse(document.getElementById("options").textContent);
  const say = (text) => {
    state.textContent = text;
    state.hidden = !text;
  };
  const reasons = {
    NotAllowedError: "The passkey was not used: it was cancelled, took too long, or there is none of yours on this device. Nothing was sent; you can try again.",
    InvalidStateError: "This device holds a passkey of yours already. Use another device, or the passkey that you have.",
    SecurityError: "Passkeys do not work under this address. Open the page under the address that your operator gave you.",
    NotSupportedError: "This device cannot make a passkey that is accepted here. Use another device.",
    ConstraintError: "This device cannot check that it is you. Set a screen lock or a PIN, or use another device.",
  };

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const base64url = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const named = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));

  async function enrol(wanted) {
    const publicKey = {
      ...wanted,
      challenge: bytes(wanted.challenge),
      user: { ...wanted.user, id: bytes(wanted.user.id) },
      excludeCredentials: named(wanted.excludeCredentials),
    };
    const made = await navigator.credentials.create({ publicKey });
    return answer(made, {
      attestationObject: base64url(made.response.attestationObject),
      transports: made.response.getTransports ? made.response.getTransports() : [],
    });
  }

  async function assert(wanted) {
    const publicKey = {
      ...wanted,
      challenge: bytes(wanted.challenge),
      allowCredentials: named(wanted.allowCredentials),
    };
    const made = await navigator.credentials.get({ publicKey });
    return answer(made, {
      authenticatorData: base64url(made.response.authenticatorData),
      signature: base64url(made.response.signature),
    });
  }

  function answer(made, response) {
    const id = base64url(made.rawId);
    const clientDataJSON = base64url(made.response.clientDataJSON);
    return JSON.stringify({ id, rawId: id, type: made.type, response: { clientDataJSON, ...response } });
  }

  function field(form) {
    const found = form.querySelector('input[name="passkey"]') || document.createElement("input");
    found.type = "hidden";
    found.name = "passkey";
    form.append(found);
    return found;
  }

  let asking = false;
  let answered = false;

  async function ask(form, button, wanted) {
    asking = true;
    say("Your browser asks for your passkey.");
    try {
      field(form).value = await (wanted.user ? enrol(wanted) : assert(wanted));
      say("");
      answered = true;
      form.requestSubmit(button); // with the button's own name and value
    } catch (error) {
      say(reasons[error.name] || `The passkey could not be used (${error.name}). Nothing was sent; you can try again.`);
    } finally {
      asking = answered = false;
    }
  }

  if (!window.PublicKeyCredential || !navigator.credentials) {
    say("This browser cannot use passkeys under this address. Use another browser or device.");
    return;
  }
  document.addEventListener("submit", (event) => {
    const name = event.submitter?.dataset.passkey;
    if (name === undefined || answered) return;
    event.preventDefault();
    if (!asking) ask(event.target, event.submitter, options[name]);
  });
  for (const button of document.querySelectorAll("button[data-passkey]")) button.disabled = false;
  say("");
})();
