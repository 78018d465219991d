"""Debian's chromium without a screen, driven through its own protocol over two pipes: no driver, no network."""

import base64
import json
import os
import shutil
import subprocess
import time

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
         '--disable-component-update',
         '--disable-dev-shm-usage', '--force-color-profile=srgb', '--remote-debugging-pipe']  # fmt: skip


def program():
    """Path of chromium, or None."""
    return shutil.which('chromium')


class Browser:
    """One window; `said` holds what pages wrote to the console and `asked` each address that was requested."""

    def __init__(self, folder):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        line = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ['bash', '-c', line, program(), *FLAGS, f'--user-data-dir={folder}', 'about:blank'],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, 'HOME': str(folder)},
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.rest, self.said, self.asked, self.loaded = 0, b'', [], [], 0
        self.session = None
        target = self('Target.createTarget', url='about:blank')['targetId']
        self.session = self('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self(f'{domain}.enable')
        self.size(1200, 900)

    def __call__(self, method, **params):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next()
            if answer.get('id') == self.number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]}')
                return answer['result']

    def _next(self):
        while b'\0' not in self.rest:
            part = os.read(self.read_end, 1 << 20)
            if not part:
                raise RuntimeError('chromium ended')
            self.rest += part
        line, _, self.rest = self.rest.partition(b'\0')
        answer = json.loads(line)
        self._note(answer.get('method'), answer.get('params', {}))
        return answer

    def _note(self, method, params):
        if method == 'Runtime.consoleAPICalled':
            self.said.append(' '.join(str(arg.get('value', arg.get('description'))) for arg in params['args']))
        elif method == 'Runtime.exceptionThrown':
            self.said.append(params['exceptionDetails'].get('exception', {}).get('description', 'an error'))
        elif method == 'Log.entryAdded':
            self.said.append(params['entry']['text'])
        elif method == 'Network.requestWillBeSent':
            self.asked.append(params['request']['url'])
        elif method == 'Page.loadEventFired':
            self.loaded += 1

    def size(self, width, height, dark=False):
        """Set the size of the page in pixels, and the colour scheme."""
        self('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self('Emulation.setEmulatedMedia', features=[scheme])

    def open(self, path, hash=''):
        """Load a file anew."""
        self('Page.navigate', url='about:blank')
        self.said, self.asked, self.loaded = [], [], 0
        self('Page.navigate', url=f'file://{path}{hash}')
        while not self.loaded:
            self._next()
        self.frames()

    def frames(self):
        """Wait until what is due has been painted."""
        self.js('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))')

    def js(self, code):
        """Value of an expression in the page."""
        made = self('Runtime.evaluate', expression=code, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in made:
            raise RuntimeError(made['exceptionDetails'])
        return made['result'].get('value')

    def mouse(self, kind, x, y, **more):
        """Send a mouse event: mousePressed, mouseMoved, mouseReleased, mouseWheel."""
        self('Input.dispatchMouseEvent', type=kind, x=x, y=y, **more)

    def click(self, x, y):
        """Press and release the left button."""
        for kind in ('mousePressed', 'mouseReleased'):
            self.mouse(kind, x, y, button='left', clickCount=1)
        self.frames()

    def key(self, key, code=None):
        """Press and release a key."""
        for kind in ('keyDown', 'keyUp'):
            self('Input.dispatchKeyEvent', type=kind, key=key, text=key if len(key) == 1 and kind == 'keyDown' else '')
        self.frames()

    def picture(self, whole=False):
        """PNG of the window, or of the whole page."""
        clip = {}
        if whole:
            size = self('Page.getLayoutMetrics')['cssContentSize']
            clip = {'clip': {**size, 'x': 0, 'y': 0, 'scale': 1}, 'captureBeyondViewport': True}
        return base64.b64decode(self('Page.captureScreenshot', format='png', **clip)['data'])

    def close(self):
        """End the browser."""
        try:
            self.session = None
            self('Browser.close')
            self.process.wait(10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
        time.sleep(0)
