import { existsSync } from "node:fs";
import { request } from "node:http";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";

const ANSWER_LIMIT_MS = 1_500;

/** Whether a Docker engine answers, within two seconds. A docker command alone is none. */
export async function answeringDockerEngine(): Promise<boolean> {
  const answers = await Promise.all(candidates().map(answersPing));
  return answers.includes(true);
}

type Candidate = { socketPath: string } | { host: string; port: number };

/** The places testcontainers looks at too. */
function candidates(): Candidate[] {
  const fromEnvironment = process.env.DOCKER_HOST;
  if (fromEnvironment !== undefined && fromEnvironment !== "") {
    return fromUrl(fromEnvironment);
  }
  if (process.platform === "win32") {
    return [{ socketPath: "//./pipe/docker_engine" }];
  }
  return [
    "/var/run/docker.sock",
    join(process.env.XDG_RUNTIME_DIR ?? "/run/user/none", "docker.sock"),
    join(homedir(), ".docker", "run", "docker.sock"),
    join(homedir(), ".docker", "desktop", "docker.sock"),
    `/run/user/${userInfo().uid}/docker.sock`,
  ]
    .filter((socketPath) => existsSync(socketPath))
    .map((socketPath) => ({ socketPath }));
}

function fromUrl(text: string): Candidate[] {
  if (!URL.canParse(text)) {
    return [];
  }
  const url = new URL(text);
  return url.hostname === "" ? [{ socketPath: url.pathname }] : [{ host: url.hostname, port: Number(url.port || 2375) }];
}

/** Any HTTP answer will do: an engine behind TLS refuses the plain request, which shows that it is there. */
function answersPing(candidate: Candidate): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ ...candidate, path: "/_ping", signal: AbortSignal.timeout(ANSWER_LIMIT_MS) }, (response) => {
      response.resume();
      resolve(true);
    });
    ping.once("error", () => resolve(false));
    ping.end();
  });
}
