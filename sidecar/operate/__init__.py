"""The operator's procedures: what takes several looks, requests and waits until it can be told as done or not.

``sweep`` is ``reclaim --once``, ``single`` is ``release ID``, ``takeover`` is ``import``, ``drain`` is ``drain``. They
judge with ``core.orphans`` and act through the ``Releaser`` only. ``secret_writer`` is ``init-secrets`` and touches no
seat. All of them read no settings and print nothing: a ``Teller`` hears it.
"""
