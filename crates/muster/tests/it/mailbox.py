"""A real mail server (aiosmtpd) on a port that the kernel chooses; says the port, then every mail that it takes. With a
certificate and a key it speaks TLS from the first byte on."""
import asyncio
import ssl
import sys

sys.path.insert(0, sys.argv[1])

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword  # noqa: E402


SEEN = set()


class Mailbox:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("later") and address not in SEEN:
            SEEN.add(address)
            return "451 ask again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print("MAIL", envelope.mail_from, *envelope.rcpt_tos)
        print(envelope.content.decode())
        print("END", flush=True)
        return "250 OK"


def may(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"muster", b"mail-secret")
    return AuthResult(success=known)


def tls():
    if len(sys.argv) < 4:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    return context


async def main():
    def one():
        return SMTP(Mailbox(), authenticator=may, auth_required=True, auth_require_tls=False)

    server = await asyncio.get_running_loop().create_server(one, "127.0.0.1", 0, ssl=tls())
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
