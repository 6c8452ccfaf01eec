// A page in Chromium as a client of `echo_server`: chromium.mjs CHROMIUM FOLDER_OF_PLAYWRIGHT URL
import path from 'node:path';
import { createRequire } from 'node:module';
import { check } from './web.mjs';

const [executablePath, driver, url] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(driver, 'package.json'))('playwright-core');
const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-proxy-server', '--no-first-run', '--disable-background-networking'],
});
try {
  const page = await (await browser.newContext()).newPage();
  const done = await page.evaluate(`(${check.toString()})(WebSocket, ${JSON.stringify(url)})`);
  for (const name of done) console.log(`chromium: ${name}: ok`);
  console.log(`== Chromium | ${browser.version()} | ${done.length}`);
} finally {
  await browser.close();
}
