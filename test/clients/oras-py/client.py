"""What a user of oras-py writes: `client.py COMMAND IMAGE …`, with a command of the table at the end."""

import os
import sys

from oras.client import OrasClient


def push(client, image, *files):
    client.push(target=image, files=list(files))


def push_in_chunks(client, image, *files):
    client.push(target=image, files=list(files), do_chunked=True, chunk_size=1 << 20)


def pull(client, image, folder):
    client.pull(target=image, outdir=folder)


def tags(client, image):
    print("\n".join(client.get_tags(image)))


def delete(client, image, tag):
    client.delete_tag(image, tag)


COMMANDS = {"push": push, "push-in-chunks": push_in_chunks, "pull": pull, "tags": tags, "delete": delete}

words = [word for word in sys.argv[1:] if word != "--insecure"]
# By itself it asks for a token to look, and then pushes with that one, which allows no push. And what `docker login` wrote
# it reads to push and to pull alone, but not for tags, so it finds the password in ORAS_USER and ORAS_PASS.
auth = "basic" if "ORAS_USER" in os.environ else "token"
client = OrasClient(insecure="--insecure" in sys.argv, auth_backend=auth)
if "CLIENT_CERT" in os.environ:
    client.session.cert = (os.environ["CLIENT_CERT"], os.environ["CLIENT_KEY"])
COMMANDS[words[0]](client, *words[1:])
