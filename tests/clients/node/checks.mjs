// What every client's script ends with: `await run({name: check})` calls each, and tells how it went.

export const URL = process.env.RETINUE_URL;
export const KEY = process.env.RETINUE_KEY;
export const WRONG_KEY = "some-other-key";
export const MODEL = "tester";
export const SAID = "Hello to you.";

export async function run(checks) {
  let failed = false;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok   ${name}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${name}`);
      console.error(error);
    }
  }
  process.exit(failed ? 1 : 0);
}

export async function raised(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
