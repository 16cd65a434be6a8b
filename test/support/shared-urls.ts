import { inject } from "vitest";
import type { Service } from "./service.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** The URLs of the shared servers, by the name of their service. */
    serviceUrls: Readonly<Record<string, readonly string[]>>;
  }
}

/** The URLs of the servers of a service that all tests of this run share. */
export function sharedUrls(service: Service): readonly string[] {
  const urls = inject("serviceUrls")?.[service.name];
  if (urls === undefined) {
    throw new Error(
      `No shared ${service.title} was started: the project of this test has no global setup, see test/vitest.config.ts.`,
    );
  }
  return urls;
}

/** The URL of the one shared server of a service. */
export function sharedUrl(service: Service): string {
  const [url] = sharedUrls(service);
  if (url === undefined) {
    throw new Error(`The ladder returned no URL for ${service.title}.`);
  }
  return url;
}
