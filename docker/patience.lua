-- A request that comes while no replica is known waits a moment before it is told so: HAProxy has just been started
-- or reloaded and asks for their names, or the only replica is being replaced. Loaded by haproxy.cfg.

local LONGEST_MS = 2000
local STEP_MS = 10

core.register_action("patience", { "http-req" }, function(txn)
    for _ = 1, LONGEST_MS / STEP_MS do
        if txn.f:nbsrv("replicas") > 0 then
            return
        end
        core.msleep(STEP_MS)
    end
end)
