# SPDX-License-Identifier: Apache-2.0
"""From files to facts: what each source file imports, calls and binds, names resolved once."""
