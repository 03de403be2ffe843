# SPDX-License-Identifier: GPL-2.0-or-later
"""MessagePack-RPC as somebody else speaks it: Neovim's client."""

import json
import os
import shutil
import subprocess
import unittest

from harness import ClusterTest, main, wait_until

SCRIPT = """
let address = $DNVME_ADDRESS
let out = []
let channel = sockconnect('tcp', address, {'rpc': v:true})
call add(out, rpcrequest(channel, 'server.info', {}))
call add(out, rpcrequest(channel, 'volume.create', {'name': 'from-nvim', 'size_bytes': 1073741824}))
call add(out, rpcrequest(channel, 'volume.list', {}))
try
  call rpcrequest(channel, 'volume.get', {'name': 'nope'})
catch
  call add(out, v:exception)
endtry
try
  call rpcrequest(channel, 'volume.create', {'name': 'x', 'sice': 1})
catch
  call add(out, v:exception)
endtry
try
  call rpcrequest(channel, 'no.such', {})
catch
  call add(out, v:exception)
endtry
call rpcnotify(channel, 'no.such', {})
call add(out, rpcrequest(channel, 'node.list', {'limit': 1}))
call chanclose(channel)
call writefile([json_encode(out)], $DNVME_OUTPUT)
quit!
"""


class Foreign(ClusterTest):
    @unittest.skipUnless(shutil.which("nvim"), "Neovim is not installed")
    def test_neovim(self):
        cluster = self.make()
        self.rack(cluster)
        script = os.path.join(cluster.directory, "script.vim")
        output = os.path.join(cluster.directory, "output.json")
        with open(script, "w") as file:
            file.write(SCRIPT)
        for server in cluster.servers:  # the leader, and those that ask it
            environment = dict(os.environ, DNVME_ADDRESS=server.api, DNVME_OUTPUT=output, HOME=cluster.directory)
            result = subprocess.run(
                ["nvim", "--headless", "--clean", "-S", script],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            self.assertTrue(os.path.exists(output), result.stderr)
            with open(output) as file:
                info, created, volumes, missing, unknown, method, nodes = json.load(file)
            os.unlink(output)
            self.assertEqual(info["id"], server.number)
            self.assertEqual(created["id"], volumes["volumes"][0]["id"])
            self.assertEqual([volume["name"] for volume in volumes["volumes"]], ["from-nvim"])
            # Neovim shows the text of an error only when it is Neovim's own pair; that it is an error it must see.
            for exception, name in ((missing, "volume.get"), (unknown, "volume.create"), (method, "no.such")):
                self.assertIn(f"Error invoking '{name}'", exception)
            self.assertEqual(nodes["nodes"][0]["node"]["name"], "node1")
            self.online(cluster, "from-nvim")
            cluster.call("volume.delete", {"name": "from-nvim"})
            wait_until("it is gone", lambda: cluster.call("cluster.status").get("volumes", 0) == 0)


if __name__ == "__main__":
    main()
