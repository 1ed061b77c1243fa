import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Millstream } from '../servers/millstream.ts';
import { findTool, requireTool } from '../servers/tools.ts';

const PIPELINE = `
name = "people"
[source]
topic = "people"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"], method = "mask" }
[sinks.all.file]
path = "out/all.ndjson"
[sinks.german]
when = { json = "/country", equals = "de" }
[sinks.german.file]
path = "out/german.ndjson"
[dead_letter.file]
path = "out/dead.ndjson"
`;

requireTool('chromium');
const executablePath = findTool('chromium');

describe.skipIf(executablePath === null)('the page at /', () => {
  let server: Millstream;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    server = await Millstream.prepare();
    writeFileSync(join(server.folder, 'pipelines', 'people.toml'), PIPELINE);
    await server.restart();
    browser = await chromium.launch({
      executablePath: executablePath ?? '',
      args: [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on('console', message => {
      if (message.type() === 'error') problems.push(message.text());
    });
    page.on('pageerror', error => problems.push(error.message));
    await page.goto(`http://127.0.0.1:${server.httpPort}/`);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  const produce = async (...values: string[]): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${server.httpPort}/api/v1/topics/people/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: values.map(value => ({ key: 'same', value })) }),
    });
    expect(response.status).toBe(200);
  };
  /** The cells of the row that `name` names. */
  const row = async (name: string): Promise<string[]> =>
    page
      .locator('tr', { has: page.locator(`th[scope=row]:text-is("${name}")`) })
      .locator('td')
      .allTextContents();

  it('names the running pipeline', async () => {
    await page.getByRole('heading', { name: 'people' }).waitFor();
    await page.getByText('1 pipeline running').waitFor();
  });

  it('shows counts that add up, without a reload', async () => {
    await produce('{"email":"a@b.c","country":"de"}', '{"email":"d@e.f","country":"fr"}', 'oops');
    await page.getByText('3 records in, 0 waiting').waitFor();
    const [, taken, emitted, dropped, passed, dead, out] = await row('scrub');
    expect([taken, emitted, dropped, passed, dead, out]).toEqual(['3', '2', '0', '0', '1', '2']);
    await page.locator('tr', { hasText: 'german' }).getByText('1', { exact: true }).first().waitFor();
    expect((await row('all')).slice(2, 6)).toEqual(['2', '2', '0', '0']);
    expect((await row('german')).slice(2, 6)).toEqual(['2', '1', '1', '0']);
  });

  it('shows what a step changed in the last record, and the whole record, which stays open', async () => {
    await page.getByText('Step scrub: the last record seen').waitFor();
    const [before, after] = await row('email');
    expect(before).toMatch(/^"[ad]@[be]\.[cf]"$/);
    expect(after).toBe('"***"');
    expect(await page.locator('.changes tbody tr').count()).toBe(1);
    await page.getByText('whole record').click();
    await produce('{"email":"g@h.i","country":"de"}');
    await page.getByText('4 records in, 0 waiting').waitFor();
    const [open, closed] = await page.locator('details pre').allTextContents();
    expect(open).toMatch(/^key same\n\{\n {2}"email": "[^*]+"/);
    expect(closed).toContain('"email": "***"');
    await page.locator('details[open]').waitFor();
  });

  it('has landmarks, named regions, and tables with heads for rows and columns', async () => {
    for (const role of ['banner', 'main', 'navigation', 'contentinfo'] as const) {
      expect(await page.getByRole(role).count(), role).toBe(1);
    }
    for (const name of ['counts of the steps', 'counts of the outputs', 'counts of the sinks']) {
      const region = page.getByRole('region', { name });
      expect(await region.getByRole('columnheader').count()).toBeGreaterThan(0);
      expect(await region.getByRole('rowheader').count()).toBeGreaterThan(0);
    }
  });

  it('shows the last dead letter with its reason and its bytes', async () => {
    const dead = page.locator('.dead');
    await dead.getByText('INVALID_JSON').waitFor();
    expect(await dead.textContent()).toContain('oops');
  });

  it('says so when the server is gone and goes on when it is back', async () => {
    await server.kill9();
    await page.getByText('The server does not answer').waitFor();
    problems.length = 0; // The browser reports the refused connections; that is what this case is about.
    await server.restart();
    await page.getByText('1 pipeline running').waitFor();
    problems.length = 0;
  });

  it('shows markup in records as text and reports no error of its own', async () => {
    await produce('{"email":"<img src=x onerror=alert(1)>","note":"</pre><script>document.title=1</script>"}');
    await page.getByText('"<img src=x onerror=alert(1)>"', { exact: true }).waitFor();
    await page.getByText('whole record').click();
    await page.getByText('</script>').first().waitFor();
    expect(await page.title()).toBe('Millstream');
    expect(await page.locator('main img, main script').count()).toBe(0);
    await page.screenshot({ path: process.env['SCREENSHOT'] ?? '/dev/null', type: 'png', fullPage: true });
    expect(problems).toEqual([]);
  });
});
