// Clients with the WebSocket of browsers, outside of browsers: web_client.mjs undici|node URL
import { readFileSync } from 'node:fs';
import { check } from './web.mjs';

const [which, url] = process.argv.slice(2);
const undici = which === 'undici' ? await import('undici') : null;
const done = await check(undici?.WebSocket ?? globalThis.WebSocket, url);
for (const name of done) console.log(`${which}: ${name}: ok`);
const version = undici
  ? JSON.parse(readFileSync(new URL('node_modules/undici/package.json', import.meta.url))).version
  : process.versions.node;
console.log(`== ${undici ? 'undici' : 'Node.js, built in'} | ${version} | ${done.length}`);
process.exit(0);
