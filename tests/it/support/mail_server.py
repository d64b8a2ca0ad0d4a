"""A mail server for tests: what is sent to it lies in files, and the recipient says how it behaves.

    mail_server.py PORT SECURITY DIRECTORY

SECURITY is `starttls`, `tls` or `none`. The directory has `certificate.pem` and `key.pem`, the first line of `password`
is the password of `portal`, and the server writes there: `mail/N.eml`, and a line of `log` for each thing that happened.
It prints its port, and ends when its standard input does, so that it never outlives who started it.

    refused@…  550 5.1.1, for good      later@…  451 4.3.0, until there is a file `relent`
    slow@…     no answer, until then    lost@…   the mail is taken, and the first time the connection is cut
"""

import asyncio
import os
import pathlib
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

port, security, directory = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
relent = directory / "relent"
taken = 0
cut = False


def note(line):
    with open(directory / "log", "a") as log:
        log.write(line + "\n")


class Server(SMTP):
    def connection_made(self, transport):
        # aiosmtpd calls it again when STARTTLS is done.
        if not self.session:
            note("connected")
        super().connection_made(transport)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0].lower()
        if name == "refused":
            return f"550 5.1.1 <{address}>: no such mailbox"
        if name == "later" and not relent.exists():
            return f"451 4.3.0 <{address}>: not now"
        while name == "slow" and not relent.exists():
            await asyncio.sleep(0.05)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        global taken, cut
        taken += 1
        unfinished = directory / "unfinished"
        unfinished.write_bytes(envelope.original_content)
        unfinished.rename(directory / "mail" / f"{taken:04}.eml")
        encrypted = "encrypted" if session.ssl or security == "tls" else "in the clear"
        recipients = ", ".join(envelope.rcpt_tos)
        note(f"taken {encrypted} for {recipients}")
        if recipients.startswith("lost@") and not cut:
            cut = True
            server.transport.abort()
        return "250 2.0.0 OK"


def authenticate(server, session, envelope, mechanism, login):
    password = (directory / "password").read_text().split("\n")[0].encode()
    right = login.login == b"portal" and login.password == password
    note("signed in" if right else "turned away")
    return AuthResult(success=right, handled=False)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    starttls = security == "starttls"

    def made():
        return Server(
            Handler(),
            hostname="localhost",
            authenticator=authenticate,
            auth_required=security != "none",
            # By `tls` every connection is encrypted, which this setting does not know.
            auth_require_tls=starttls,
            require_starttls=starttls,
            tls_context=context if starttls else None,
        )

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(made, "127.0.0.1", port, ssl=context if security == "tls" else None)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
asyncio.run(main())
