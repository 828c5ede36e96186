"""What a platform team allows of model servers: the policy, its rules and their verdict. Pure."""
