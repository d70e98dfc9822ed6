// What a page of another origin can try to make a browser send to Prefect's API; gives what came of each.
const [api, deployment, done] = arguments;
const found = {};
async function attempt(name, path, options) {
  try { const answer = await fetch(api + path, options); found[name] = answer.type + " " + await answer.text(); }
  catch (error) { found[name] = "refused"; }
}
function listen(name, path) {
  return new Promise(resolve => {
    const socket = new WebSocket(api.replace("http", "ws") + path);
    socket.onopen = () => { found[name] = "open"; resolve(); };
    socket.onerror = socket.onclose = () => { found[name] = found[name] || "refused"; resolve(); };
  });
}
(async () => {
  const json = {"content-type": "application/json"}, run = `/deployments/${deployment}/create_flow_run`;
  const command = JSON.stringify({job_variables: {command: "touch /tmp/owned"}});
  await attempt("run", run, {method: "POST", headers: json, body: command});
  const text = {"content-type": "text/plain"};
  await attempt("run as text", run, {method: "POST", mode: "no-cors", headers: text, body: command});
  await attempt("run without a type", run, {method: "POST", mode: "no-cors", body: new Blob([command])});
  await attempt("pause", `/deployments/${deployment}/pause_deployment`, {method: "POST", mode: "no-cors"});
  const secrets = JSON.stringify({include_secrets: true});
  await attempt("secrets", "/block_documents/filter", {method: "POST", headers: json, body: secrets});
  await attempt("flows", "/flows/count", {method: "POST", headers: json, body: "{}"});
  await attempt("read", "/admin/settings", {});
  await listen("send events", "/events/in");
  await listen("read logs", "/logs/out");
  const form = document.createElement("form"), frame = document.createElement("iframe");
  frame.name = "hidden"; document.body.append(frame, form);
  form.action = api + run; form.method = "post"; form.target = "hidden"; form.submit();
  setTimeout(() => done(found), 1000);
})();
